import { it } from 'vitest';
import { rm } from 'node:fs/promises';
import { createServer } from '#ballast/server/app.js';
import { digitsFolder, digitZip } from './support/digits.js';
import { ask } from './support/server.js';
it('scratch', async () => {
  const folder = await digitsFolder();
  const server = await createServer({ models: folder, port: 0, provider: 'cpu', threads: 1, logLevel: 'silent', shutdownTimeout: 5 });
  const { url } = await server.listen();
  const zip = new Uint8Array(await digitZip());
  for (let i = 0; i < 12; i++) {
  const b = await ask(`${url}/v1/models/digits/prompts?queries=400000&batch=8&samples=2`, { method: 'POST', body: zip, headers: { 'content-type': 'application/zip' } });
  await new Promise((r) => setTimeout(r, 150 + 50 * i));
  const e = await ask(`${url}/v1/jobs/${b.body['id']}`, { method: 'DELETE' });
  process.stderr.write(`${i} ${e.status} ${e.body['state']}\n`);
  }
  await server.close();
  await rm(folder, { recursive: true });
});
