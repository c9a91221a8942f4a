import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { withWinograd } from './onnx/winograd.js';

/** Samples of the passes that are measured. */
const MEASURED_SAMPLES = 8;
/** Milliseconds of each, which make light of the 4 that Linux may be behind with a thread's time. */
const MEASURED_MS = 150;
/** The share of the network's own time that it may take: it is not worth its memory for less. */
const MOST_TIME = 0.97;
/** How far its answers may be from the network's own, as a share of the largest number of an output. */
const MOST_DIFFERENCE = 1e-3;

/**
 * Opens the network with Winograd's convolutions, see withWinograd, beside the network as it is.
 * @param plain - the network as it is
 * @param model - what it was opened from
 * @param options - how it was opened
 * @returns undefined where there is nothing to gain: no layer that could be faster, or none that was on this machine
 */
export async function openWinograd(
  plain: InferenceSession,
  model: Uint8Array,
  options: InferenceSession.SessionOptions,
): Promise<InferenceSession | undefined> {
  const batch = pictures(plain);
  const changed = batch && withWinograd(model);
  if (changed === undefined) return undefined;
  const session = await InferenceSession.create(changed, options);
  if (await isBetter(session, plain, batch!)) return session;
  await session.release();
  return undefined;
}

/** A batch of noise for a network with one input, of a size that is known; undefined for any other. */
function pictures({ inputMetadata }: InferenceSession): Record<string, OrtTensor> | undefined {
  const [input] = inputMetadata;
  if (inputMetadata.length !== 1 || !input.isTensor || input.type !== 'float32') return undefined;
  const [batch, ...sample] = input.shape;
  if (typeof batch === 'number' || !sample.every((size) => typeof size === 'number')) return undefined;
  const dims = [MEASURED_SAMPLES, ...sample];
  const data = Float32Array.from({ length: dims.reduce((product, size) => product * size, 1) }, (_, at) =>
    Math.sin(at * at),
  );
  return { [input.name]: new OrtTensor('float32', data, dims) };
}

/** Whether it answers the same, and sooner. */
async function isBetter(
  session: InferenceSession,
  plain: InferenceSession,
  batch: Record<string, OrtTensor>,
): Promise<boolean> {
  if (!agree(await session.run(batch), await plain.run(batch))) return false;
  return (await passTime(session, batch)) < MOST_TIME * (await passTime(plain, batch));
}

async function passTime(session: InferenceSession, batch: Record<string, OrtTensor>): Promise<number> {
  const begin = threadTime();
  let spent = 0;
  let passes = 0;
  for (; spent < MEASURED_MS; passes++) {
    await session.run(batch);
    spent = threadTime() - begin;
  }
  return spent / passes;
}

/** Milliseconds that this thread has run, which others do not add to; where the system does not tell, those that passed. */
function threadTime(): number {
  try {
    const nanoseconds = Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]);
    if (nanoseconds > 0) return nanoseconds / 1e6;
  } catch {
    // Not Linux.
  }
  return performance.now();
}

function agree(outputs: InferenceSession.ReturnType, expected: InferenceSession.ReturnType): boolean {
  return Object.entries(expected).every(([name, { data }]) => {
    if (!(data instanceof Float32Array)) return true;
    const own = outputs[name].data as Float32Array;
    const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return data.every((value, at) => Math.abs(value - own[at]) <= MOST_DIFFERENCE * largest);
  });
}
