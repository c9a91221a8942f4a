import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';
import { Random } from '../shift/random.js';

/** Columns of the input, and of the square matrix that it is multiplied by again and again. */
export const SLOW_WIDTH = 1024;
/** Rows of the request that takes long. */
export const SLOW_ROWS = 64;

/**
 * Writes a model whose forward pass of `SLOW_ROWS` rows takes about as long as asked for, on all cores.
 * @param file - where to
 */
export async function writeSlowModel(file: string, seconds: number): Promise<void> {
  const trial = 100;
  const session = await InferenceSession.create(build(trial), {
    intraOpNumThreads: availableParallelism(),
    interOpNumThreads: 1,
    // As in the server: threads that spin would hold each other up wherever the machine has other work.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  const rows = new Float32Array(SLOW_ROWS * SLOW_WIDTH).fill(0.1);
  const feeds = { x: new Tensor('float32', rows, [SLOW_ROWS, SLOW_WIDTH]) };
  const times: number[] = [];
  for (let run = 0; run < 8; run++) {
    const begin = performance.now();
    await session.run(feeds);
    times.push((performance.now() - begin) / 1000);
  }
  // The fastest: whatever else runs on the machine can only make the batch longer.
  const secondsEach = Math.min(...times) / trial;
  await session.release();
  await writeFile(file, build(Math.ceil(seconds / secondsEach)));
}

/** `steps` times a product with one random matrix; tanh keeps the values in range. */
function build(steps: number): Uint8Array {
  const random = new Random(1);
  const graph = new GraphBuilder('slow');
  const data = Float32Array.from(
    { length: SLOW_WIDTH * SLOW_WIDTH },
    () => (2 * random.normal()) / Math.sqrt(SLOW_WIDTH),
  );
  const matrix = graph.constant({ type: 'float32', dims: [SLOW_WIDTH, SLOW_WIDTH], data });
  let value = graph.input('x', 'float32', ['N', SLOW_WIDTH]);
  for (let step = 0; step < steps; step++) {
    const product = graph.node('MatMul', [value, matrix]);
    value = graph.node('Tanh', [product], {}, step === steps - 1 ? 'y' : undefined);
  }
  graph.output('y', 'float32', ['N', SLOW_WIDTH]);
  return encodeModel(graph);
}
