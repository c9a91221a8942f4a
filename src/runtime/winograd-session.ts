import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { withWinograd } from './onnx/winograd.js';

/** Samples of the passes that are measured. */
const MEASURED_SAMPLES = 8;
/** Of which the fastest counts: another pass may have been kept waiting. */
const MEASURED_PASSES = 3;
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
  let [fastest, fastestPlain] = [Infinity, Infinity];
  for (let pass = 0; pass < MEASURED_PASSES; pass++) {
    fastest = Math.min(fastest, await milliseconds(session, batch));
    fastestPlain = Math.min(fastestPlain, await milliseconds(plain, batch));
  }
  return fastest < fastestPlain;
}

async function milliseconds(session: InferenceSession, batch: Record<string, OrtTensor>): Promise<number> {
  const begin = performance.now();
  await session.run(batch);
  return performance.now() - begin;
}

function agree(outputs: InferenceSession.ReturnType, expected: InferenceSession.ReturnType): boolean {
  return Object.entries(expected).every(([name, { data }]) => {
    if (!(data instanceof Float32Array)) return true;
    const own = outputs[name].data as Float32Array;
    const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return data.every((value, at) => Math.abs(value - own[at]) <= MOST_DIFFERENCE * largest);
  });
}
