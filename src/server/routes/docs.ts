import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { openApiDocument } from '../openapi.js';
import { send } from '../respond.js';
import type { Exchange, Route } from '../route.js';
import { docsPage, docsScript, landingPage } from './pages.js';

/** Pages load nothing from elsewhere and run no script but their own; the API's page styles itself inline. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

const swaggerFolder = join(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'), '..');

/**
 * `/openapi.json`, a page to try the API at `/docs`, and `/` with links to both.
 * @param others - every other route: what the document describes
 */
export function docsRoutes(others: readonly Route[]): Route[] {
  const document: Route = {
    method: 'get',
    path: '/openapi.json',
    operation: {
      summary: 'This document',
      tags: ['documentation'],
      responses: {
        200: {
          description: 'OpenAPI',
          content: { 'application/json': { schema: { type: 'object' } } },
        },
      },
    },
    handle: (exchange) => {
      send(exchange, 200, 'application/json', text);
    },
  };
  // Made once, before requests come: it takes longer than any of them may wait.
  const text = JSON.stringify(openApiDocument([...others, document]));
  return [
    document,
    page('/', 'text/html; charset=utf-8', landingPage),
    page('/docs', 'text/html; charset=utf-8', docsPage),
    page('/docs/start.js', 'text/javascript; charset=utf-8', docsScript),
    asset('swagger-ui.css', 'text/css; charset=utf-8'),
    asset('swagger-ui-bundle.js', 'text/javascript; charset=utf-8'),
  ];
}

function page(path: string, contentType: string, body: string): Route {
  return {
    method: 'get',
    path,
    handle: (exchange) => {
      send(exchange, 200, contentType, body, PAGE_HEADERS);
    },
  };
}

function asset(file: string, contentType: string): Route {
  let content: Promise<Buffer> | undefined;
  const handle = async (exchange: Exchange): Promise<void> => {
    content ??= readFile(join(swaggerFolder, file));
    send(exchange, 200, contentType, await content, { ...PAGE_HEADERS, 'cache-control': 'max-age=3600' });
  };
  return { method: 'get', path: `/docs/${file}`, handle };
}
