import { createServer as createHttpServer } from 'node:http';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from './support/server.js';

const sources = new URL('../../pages/deepfake/', import.meta.url);
let server: TestServer;

beforeAll(async () => {
  server = await startServer(['add_sub']);
});
afterAll(() => server.close());

interface Loaded {
  readonly type: string;
  readonly text: string;
  readonly headers: Headers;
}

async function get(address: string): Promise<Loaded> {
  const response = await fetch(address);
  expect(response.status, address).toBe(200);
  const { headers } = response;
  return { type: headers.get('content-type') ?? '', text: await response.text(), headers };
}

function found(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, target]) => target);
}

/** All that a browser loads of the page, by its address; what else the page links to must be there. */
async function load(page: string): Promise<Map<string, Loaded>> {
  const start = await get(page);
  const loaded = new Map([[page, start]]);
  const wanted = [];
  for (const target of found(start.text, /(?:src|href)="(?!data:)([^"]+)"/g)) {
    const { href } = new URL(target, page);
    if (target.startsWith('deepfake/')) wanted.push(href);
    else await get(href);
  }
  for (const address of wanted) {
    if (loaded.has(address)) continue;
    const file = await get(address);
    loaded.set(address, file);
    if (!address.endsWith('.js')) continue;
    for (const target of found(file.text, /\bfrom '([^']+)'/g)) wanted.push(new URL(target, address).href);
    // Unlike what scripts import, what they ask is told from where the page is.
    for (const target of found(file.text, /\bfetch\('([^']+)'/g)) await get(new URL(target, page).href);
  }
  return loaded;
}

describe('the page at /deepfake', () => {
  it('is served whole: all that it loads, of the right types, and no file of it is left out', async () => {
    const loaded = await load(`${server.url}/deepfake`);
    const names = [...loaded.keys()].map((address) => new URL(address).pathname.replace('/deepfake/', ''));
    const files = (await readdir(sources)).map((file) => (file === 'page.html' ? '/deepfake' : file));
    expect(names.toSorted()).toEqual(files.toSorted());
    for (const [address, { type }] of loaded) {
      const kind = address.endsWith('.js') ? 'javascript' : address.endsWith('.css') ? 'css' : 'html';
      expect(type).toBe(`text/${kind}; charset=utf-8`);
    }
    expect((await fetch(`${server.url}/deepfake`, { method: 'HEAD' })).status).toBe(200);
  });

  it('may load nothing from elsewhere, run no inline script, and show what the user chose', async () => {
    for (const { text, headers } of (await load(`${server.url}/deepfake`)).values()) {
      const policy = headers.get('content-security-policy')!.split('; ');
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self'");
      expect(policy).toContain("img-src 'self' data: blob:");
      expect(policy).toContain('media-src blob:');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      // The namespace of SVG is a name, not an address that is asked.
      expect(text.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|["'(]\/\//);
      // What the policy would refuse.
      expect(text).not.toMatch(/<script(?![^>]*src=)|<style|\sstyle="|\son\w+="/);
    }
  });

  it('is found from the first page', async () => {
    expect((await get(server.url)).text).toContain('href="deepfake"');
  });

  it('works below a path, also with a slash at its end', async () => {
    const outer = express().use('/below/here', server.server.app);
    const http = createHttpServer(outer as Parameters<typeof createHttpServer>[1]);
    await once(http.listen(0, '127.0.0.1'), 'listening');
    try {
      const base = `http://127.0.0.1:${(http.address() as AddressInfo).port}/below/here`;
      expect((await load(`${base}/deepfake`)).size).toBeGreaterThan(2);
      const slashed = await fetch(`${base}/deepfake/?a=1`);
      expect(slashed.url).toBe(`${base}/deepfake`);
      expect(slashed.status).toBe(200);
      const { text } = await get(`${base}/deepfake/ask.js`);
      expect(text).toMatch(/fetch\('v1\/models'\)/);
      expect(text).toMatch(/open\('POST', `v1\/deepfake\?/);
    } finally {
      http.closeAllConnections();
      http.close();
    }
  });
});
