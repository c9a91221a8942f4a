import { readFileSync } from 'node:fs';
import { z } from 'zod';

const manifest = z
  .object({ name: z.string(), version: z.string() })
  .parse(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')));

/** Name and version of this package, as package.json has them. */
export const packageName = manifest.name;
export const packageVersion = manifest.version;
