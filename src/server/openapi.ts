import { createDocument, type ZodOpenApiPathsObject } from 'zod-openapi';
import type { Route } from './route.js';
import { packageVersion } from './version.js';

type Document = ReturnType<typeof createDocument>;

/**
 * The OpenAPI document of some routes, from the schemas that their handlers check requests with.
 * @param routes - those without an operation are pages, and left out
 */
export function openApiDocument(routes: readonly Route[]): Document {
  const paths: ZodOpenApiPathsObject = {};
  for (const { method, path, operation } of routes) {
    if (operation) paths[path] = { ...paths[path], [method]: operation };
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Ballast',
      version: packageVersion,
      description:
        'Serves ONNX models and keeps them steady when the field moves: test-time adaptation over HTTP.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
  });
}
