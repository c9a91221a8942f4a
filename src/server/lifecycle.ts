import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BallastError, messageOf } from '../errors.js';
import type { ServerConfig } from './config.js';
import type { ServerContext } from './context.js';

/** Where a server listens. */
export interface Listening {
  readonly host: string;
  readonly port: number;
  readonly url: string;
}

/**
 * Binds a server to the address of its settings.
 * @throws BallastError unavailable where the address is taken, or not this machine's
 */
export async function listen(server: Server, { host, port }: ServerConfig): Promise<Listening> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const why =
        error.code === 'EADDRINUSE'
          ? 'another program listens there; choose another with --port'
          : messageOf(error);
      reject(new BallastError('unavailable', `Cannot listen on ${host}, port ${port}: ${why}.`));
    };
    server.once('error', onError).listen({ host, port }, () => {
      server.off('error', onError);
      resolve();
    });
  });
  const bound = (server.address() as AddressInfo).port;
  const name = host.includes(':') ? `[${host}]` : host;
  return { host, port: bound, url: `http://${name}:${bound}` };
}

/**
 * Stops a server: it turns not ready, takes no more connections, answers what is in flight and frees its models.
 * @returns whether all of that was done in time; otherwise requests were cut off, or a forward pass still runs
 */
export async function close(server: Server, context: ServerContext): Promise<boolean> {
  const { lifecycle, inFlight, config, models, parsing } = context;
  lifecycle.draining = true;
  inFlight.endConnections();
  const stopped = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  server.closeIdleConnections();
  const late = after(config.shutdownTimeout);
  const answered = await Promise.race([stopped.then(() => true), late]);
  server.closeAllConnections();
  // A forward pass whose request was answered 504, or cut off, may still run.
  const freed = await Promise.race([Promise.all([models.close(), parsing.close()]).then(() => true), late]);
  return answered && freed;
}

function after(seconds: number): Promise<false> {
  return new Promise((resolve) => {
    setTimeout(() => {
      resolve(false);
    }, seconds * 1000).unref();
  });
}
