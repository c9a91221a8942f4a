import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { makeBurst } from '../../examples/make-burst.js';

const root = join(import.meta.dirname, '../..');
const read = (...path: string[]): Promise<string> => readFile(join(root, ...path), 'utf8');

/** What onnxruntime-node's install step would do: true downloads, false skips, undefined is up to npm. */
function installFlag(environment: Record<string, string>): string {
  return execFileSync(
    process.execPath,
    ['-p', "require('onnxruntime-node/script/install-utils.js').parseInstallFlag()"],
    { cwd: root, encoding: 'utf8', env: environment },
  ).trim();
}

describe('the CUDA libraries of onnxruntime-node', () => {
  const npmrc = { npm_config_onnxruntime_node_install: 'skip' };

  it('are skipped by what .npmrc says', async () => {
    expect(await read('.npmrc')).toContain('onnxruntime-node-install=skip');
    expect(installFlag(npmrc)).toBe('false');
  });

  it('are fetched by install:cuda all the same', async () => {
    expect(await read('deploy/install-cuda')).toContain('ONNXRUNTIME_NODE_INSTALL=true node ');
    expect(installFlag({ ...npmrc, ONNXRUNTIME_NODE_INSTALL: 'true' })).toBe('true');
  });
});

describe('the Dockerfile', () => {
  it('copies only what is there and what .dockerignore lets through', async () => {
    const copies = [...(await read('Dockerfile')).matchAll(/^COPY (?!--from)(.+) \S+$/gm)];
    const sources = copies.flatMap(([, paths]) => paths.split(' ').filter((path) => !path.startsWith('--')));
    expect(sources).toContain('package.json');
    const ignore = (await read('.dockerignore')).split('\n');
    for (const source of sources) {
      expect(existsSync(join(root, source)), source).toBe(true);
      expect(ignore).toContain(`!${source}`);
    }
  });
});

describe("Node's flags", () => {
  it('are the same for npm start, the command and the images', async () => {
    const { scripts } = JSON.parse(await read('package.json')) as { scripts: { start: string } };
    const flags = scripts.start.split(' ').filter((part) => part.startsWith('--'));
    expect(flags.length).toBeGreaterThan(0);
    expect((await read('src/cli.ts')).split('\n')[0]).toBe(`#!/usr/bin/env -S node ${flags.join(' ')}`);
    const commands = [...(await read('Dockerfile')).matchAll(/^CMD (.+)$/gm)].map(([, json]) => json);
    expect(commands.length).toBe(2);
    for (const command of commands)
      expect(JSON.parse(command)).toEqual(['node', ...flags, 'dist/cli.js', 'serve']);
  });
});

describe('the example pictures', () => {
  it('are small, and the README says where each is from', async () => {
    const readme = await read('examples/README.md');
    const pictures = (await readdir(join(root, 'examples'))).filter((file) => file.endsWith('.jpg'));
    expect(pictures.length).toBeGreaterThanOrEqual(4);
    for (const picture of pictures) {
      expect(readme).toContain(`| \`${picture}\``);
      expect((await stat(join(root, 'examples', picture))).size).toBeLessThan(60_000);
    }
  });

  it('hold the burst that make-burst makes', async () => {
    const folder = join(root, 'examples/burst');
    const files = (await readdir(folder)).sort();
    const made = await makeBurst(join(root, 'examples/cat.jpg'), 1);
    expect(files).toHaveLength(made.length);
    for (const [frame, file] of files.entries()) {
      const [kept, fresh] = await Promise.all(
        [join(folder, file), made[frame]].map((image) => sharp(image).raw().toBuffer()),
      );
      // Another processor may resize and compress a grey level differently.
      const difference = kept.reduce((sum, value, i) => sum + Math.abs(value - fresh[i]), 0) / kept.length;
      expect(difference, file).toBeLessThan(2);
    }
  });
});
