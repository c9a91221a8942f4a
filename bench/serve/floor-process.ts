/** A process of the floor: onnxruntime and sharp alone, on as many pictures at once as suits them. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';
import { answerParent } from './answering-process.js';
import { IMAGE, SAMPLE_SIZE, type Payload } from './cell.js';
import { decodeSample } from './samples.js';

/** How a process works through the pictures. */
export interface LaneSettings {
  readonly threads: number;
  readonly batch: number;
  /** Whether the next batch is decoded while the network runs. */
  readonly overlap: boolean;
  /** Whether onnxruntime's idle threads spin. */
  readonly spin: boolean;
}

export type LaneQuestion =
  | {
      readonly kind: 'keep';
      readonly pictures: readonly Uint8Array[];
      readonly samples: readonly Float32Array[];
    }
  | {
      readonly kind: 'run';
      readonly file: string;
      readonly payload: Payload;
      readonly settings: LaneSettings;
      readonly seconds: number;
    };

sharp.cache(false);
sharp.concurrency(1);

let pictures: readonly Uint8Array[] = [];
let samples: readonly Float32Array[] = [];
let next = 0;
const sessions = new Map<string, Promise<InferenceSession>>();

answerParent(async (message) => {
  const question = message as LaneQuestion;
  if (question.kind === 'keep') {
    ({ pictures, samples } = question);
    return 0;
  }
  const { file, payload, settings, seconds } = question;
  const session = await open(file, settings);
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  const batches = payload === 'jpeg' ? decodedBatches(settings) : readyBatches(settings.batch);
  let count = 0;
  const begin = performance.now();
  for (;;) {
    const data = await batches.take();
    const dims = [settings.batch, 3, IMAGE.height, IMAGE.width];
    await session.run({ [input]: new Tensor('float32', data, dims) }, [output]);
    count += settings.batch;
    const elapsed = (performance.now() - begin) / 1000;
    if (elapsed >= seconds) {
      await batches.end();
      return count / elapsed;
    }
  }
});

function open(file: string, { threads, spin }: LaneSettings): Promise<InferenceSession> {
  const key = `${file} ${threads} ${spin}`;
  const opened =
    sessions.get(key) ??
    InferenceSession.create(file, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      extra: { session: { intra_op: { allow_spinning: spin ? '1' : '0' } } },
    });
  sessions.set(key, opened);
  return opened;
}

/** Batches of samples, one after another. */
interface Batches {
  take(): Promise<Float32Array>;
  end(): Promise<void>;
}

/** Batches as they come to a server that gets tensors: nothing is left to do. */
function readyBatches(size: number): Batches {
  const ready = Array.from({ length: Math.ceil(samples.length / size) }, (_, batch) => {
    const data = new Float32Array(size * SAMPLE_SIZE);
    for (let i = 0; i < size; i++) data.set(samples[(batch * size + i) % samples.length], i * SAMPLE_SIZE);
    return data;
  });
  return { take: () => Promise.resolve(ready[next++ % ready.length]), end: () => Promise.resolve() };
}

/** Batches that are decoded from JPEG; all of one batch at once, in libuv's threads. */
function decodedBatches({ batch, overlap }: LaneSettings): Batches {
  const decode = async (): Promise<Float32Array> => {
    const data = new Float32Array(batch * SAMPLE_SIZE);
    await Promise.all(
      Array.from({ length: batch }, (_, i) =>
        decodeSample(pictures[next++ % pictures.length], data, i * SAMPLE_SIZE),
      ),
    );
    return data;
  };
  let ahead = overlap ? decode() : undefined;
  return {
    async take() {
      const data = await (ahead ?? decode());
      if (overlap) ahead = decode();
      return data;
    },
    async end() {
      await ahead;
    },
  };
}
