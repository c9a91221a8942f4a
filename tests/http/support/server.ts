import { rm } from 'node:fs/promises';
import { createServer } from '#ballast/server/app.js';
import type { BallastServer } from '#ballast/server/ballast-server.js';
import type { ServerOptions } from '#ballast/server/config.js';
import { modelsFolder, type TestModel } from './models.js';

/** A server on a free port, with models of its own. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly server: BallastServer;
  readonly folder: string;
  close(): Promise<void>;
}

/** Starts a server that serves these fixtures. */
export async function startServer(
  models: readonly TestModel[],
  options: ServerOptions = {},
): Promise<TestServer> {
  return serveFolder(await modelsFolder(models), options);
}

/** Starts a server for a folder of models, which goes with it. */
export async function serveFolder(folder: string, options: ServerOptions = {}): Promise<TestServer> {
  const server = await createServer({
    models: folder,
    port: 0,
    provider: 'cpu',
    threads: 1,
    logLevel: 'silent',
    shutdownTimeout: 5,
    ...options,
  });
  const { url, port } = await server.listen();
  return {
    url,
    port,
    server,
    folder,
    close: async () => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The status of an answer and its JSON. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly type: string;
  // Tests look into answers of many shapes.
  readonly body: Record<string, unknown>;
}

/** Sends a request and reads the JSON that comes back. */
export async function ask(url: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    type: response.headers.get('content-type') ?? '',
    body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
  };
}

/** Sends JSON. */
export function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return ask(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}
