import { Worker } from 'node:worker_threads';
import { BallastError, messageOf } from '../errors.js';
import { SeededRandom } from '../runtime/seeded-random.js';
import type { CorruptionReply, CorruptionRequest } from './corruption-worker.js';
import type { CorruptionName, CorruptOptions, Picture, Severity } from './corruptions/corruption.js';

/** Pictures under way a thread: enough that none waits for its next one. */
const AHEAD = 8;

interface Call {
  readonly resolve: (picture: Picture) => void;
  readonly reject: (error: BallastError) => void;
}

/** One worker thread, and the calls that it still owes an answer. */
interface Thread {
  readonly worker: Worker;
  readonly calls: Map<number, Call>;
}

/**
 * Threads that corrupt pictures. Each starts with the first picture that it gets and keeps the process alive only
 * while pictures are under way; where one dies, its pictures fail and the next one starts another.
 */
export class CorruptionThreads {
  private readonly threads: (Thread | undefined)[];
  private nextId = 0;
  private closed = false;

  /**
   * @param count - how many threads, 1 or more
   * @throws BallastError invalid-input where that is no such number
   */
  constructor(count: number) {
    if (!Number.isInteger(count) || count < 1) {
      throw new BallastError(
        'invalid-input',
        `${count} threads to corrupt pictures: there must be 1 or more.`,
      );
    }
    this.threads = Array.from({ length: count }, () => undefined);
  }

  /**
   * Corrupts pictures side by side and gives them in the order in which they came. A few are asked for ahead; stopping
   * early leaves the rest of them unasked for.
   * @param pictures - each stays as it is
   * @param options - `seed`: of all; the picture at `index` gets `seedOfPicture(seed, index)`
   * @throws BallastError what `corrupt` throws, with the picture's place; internal where a thread died; unavailable
   *   after `close`
   */
  async *corruptMany(
    pictures: Iterable<Picture> | AsyncIterable<Picture>,
    name: CorruptionName,
    severity: Severity,
    options: CorruptOptions,
  ): AsyncGenerator<Picture, void, undefined> {
    const underWay: Promise<Picture>[] = [];
    let index = 0;
    for await (const picture of pictures) {
      const result = this.corruptOne(picture, name, severity, options, index++);
      // One that fails behind another that fails, or that nobody asks for any more, must not end the process.
      result.catch(() => undefined);
      underWay.push(result);
      if (underWay.length >= AHEAD * this.threads.length) yield await underWay.shift()!;
    }
    for (const result of underWay) yield await result;
  }

  /** Ends the threads; pictures under way fail, as do later ones. */
  async close(): Promise<void> {
    this.closed = true;
    const threads = this.threads.splice(0, this.threads.length).filter((thread) => thread !== undefined);
    for (const thread of threads) failAll(thread, afterClose());
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  private async corruptOne(
    picture: Picture,
    name: CorruptionName,
    severity: Severity,
    options: CorruptOptions,
    index: number,
  ): Promise<Picture> {
    try {
      const seed = seedOfPicture(options.seed, index);
      return await this.send({ id: this.nextId++, picture, name, severity, options: { ...options, seed } });
    } catch (error) {
      const code = error instanceof BallastError ? error.code : 'internal';
      throw new BallastError(code, `Picture ${index}, counted from 0: ${messageOf(error)}`, { cause: error });
    }
  }

  private send({ picture, ...rest }: CorruptionRequest): Promise<Picture> {
    if (this.closed) throw afterClose();
    const { worker, calls } = this.leastBusy();
    // The caller keeps its picture: what is handed over is a copy, in memory that holds nothing else.
    const data = new Uint8Array(picture.data);
    const request: CorruptionRequest = { ...rest, picture: { ...picture, data } };
    worker.postMessage(request, [data.buffer]);
    worker.ref();
    return new Promise((resolve, reject) => calls.set(request.id, { resolve, reject }));
  }

  private leastBusy(): Thread {
    let best = 0;
    const load = (place: number): number => this.threads[place]?.calls.size ?? 0;
    for (let place = 1; place < this.threads.length; place++) if (load(place) < load(best)) best = place;
    return (this.threads[best] ??= this.start(best));
  }

  private start(place: number): Thread {
    // Flags of this process are not passed on: the thread needs none, and some (--input-type) do not suit a file.
    const options = { name: `ballast-corruption-${place}`, execArgv: [] };
    const worker = new Worker(new URL('./corruption-worker.js', import.meta.url), options);
    const thread: Thread = { worker, calls: new Map() };
    let reason = 'it ended';
    worker.unref();
    worker.on('message', (reply: CorruptionReply) => {
      settle(thread, reply);
    });
    worker.on('error', (error) => {
      reason = messageOf(error);
    });
    // After an error comes an exit: this is where every end of the thread arrives.
    worker.on('exit', () => {
      if (this.threads[place] === thread) this.threads[place] = undefined;
      failAll(thread, new BallastError('internal', `The thread that corrupts pictures failed: ${reason}.`));
    });
    return thread;
  }
}

/** The seed of one picture among many: unrelated to those of its neighbours, and to those under another seed. */
export function seedOfPicture(seed: number, index: number): number {
  // Whatever is no seed is left for `corrupt` to refuse.
  return Number.isSafeInteger(seed) && seed >= 0
    ? new SeededRandom(seed % 2 ** 32, Math.floor(seed / 2 ** 32), index).next()
    : seed;
}

function settle({ worker, calls }: Thread, reply: CorruptionReply): void {
  const call = calls.get(reply.id);
  calls.delete(reply.id);
  if (calls.size === 0) worker.unref();
  if ('picture' in reply) call?.resolve(reply.picture);
  else call?.reject(new BallastError(reply.error.code, reply.error.message));
}

function failAll({ calls }: Thread, error: BallastError): void {
  for (const call of calls.values()) call.reject(error);
  calls.clear();
}

function afterClose(): BallastError {
  return new BallastError(
    'unavailable',
    'The threads that corrupt pictures were closed before this one was.',
  );
}
