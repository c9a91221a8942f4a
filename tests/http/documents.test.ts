import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, startServer, type TestServer } from './support/server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer(['add_sub']);
});
afterAll(() => server.close());

interface Layer {
  route?: { path: string; methods: Record<string, boolean> };
}

interface Document {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, { responses: Record<string, unknown>; summary: string }>>;
  components: { schemas: Record<string, unknown> };
}

/** Every `$ref` within a value. */
function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) =>
    key === '$ref' ? [child as string] : references(child),
  );
}

describe('the OpenAPI document', () => {
  it('has every route of the app but pages, and no other', async () => {
    const document = (await ask(`${server.url}/openapi.json`)).body as unknown as Document;
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    const { stack } = server.server.app.router as unknown as { stack: Layer[] };
    const mounted = stack.flatMap(({ route }) =>
      route === undefined || Object.keys(route.methods).length > 1 || '_all' in route.methods
        ? []
        : Object.keys(route.methods).map((method) => `${method} ${route.path.replace(/:(\w+)/g, '{$1}')}`),
    );
    const pages = mounted.filter((route) => /^get \/((docs|deepfake).*)?$/.test(route));
    expect(described.toSorted()).toEqual(mounted.filter((route) => !pages.includes(route)).toSorted());
    expect(described.length).toBeGreaterThan(15);
  });

  it('is sound: references lead somewhere, path parameters are declared, every answer is described', async () => {
    const document = (await ask(`${server.url}/openapi.json`)).body as unknown as Document;
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(document.info.title).toBe('Ballast');
    for (const reference of references(document)) {
      expect(reference).toMatch(/^#\/components\/schemas\//);
      expect(document.components.schemas).toHaveProperty([reference.split('/').at(-1)!]);
    }
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const operation of Object.values(methods)) {
        const { parameters = [] } = operation as {
          parameters?: { name: string; in: string; required: boolean }[];
        };
        const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
        const declared = parameters.filter((parameter) => parameter.in === 'path' && parameter.required);
        expect(declared.map(({ name }) => name)).toEqual(named);
        expect(operation.summary).not.toBe('');
        expect(Object.keys(operation.responses).some((status) => status.startsWith('2'))).toBe(true);
      }
    }
  });
});

describe('pages', () => {
  it('are served from the package alone, under a strict policy', async () => {
    for (const path of ['/', '/docs', '/deepfake']) {
      const response = await fetch(`${server.url}${path}`);
      const page = await response.text();
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toMatch(/^text\/html/);
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
      for (const [, target] of page.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)) {
        expect((await fetch(new URL(target, `${server.url}/`))).status, target).toBe(200);
      }
    }
    expect((await fetch(`${server.url}/`, { method: 'HEAD' })).status).toBe(200);
  });
});
