import { readFile } from 'node:fs/promises';
import type { Matrix } from '../runtime/tensor.js';
import type { AffinityMatrix } from './affinity.js';
import { FIRST_JUDGED, SETTLED } from './lame-graph.js';
import { energyNoise, type FixedPoint, type FixedPointOptions } from './lame-sessions.js';

/** What kernel/lame-passes.ts exports; matrices are given by their addresses. */
interface Kernel {
  readonly memory: WebAssembly.Memory;
  start(probabilities: number, floors: number, assignments: number, rows: number, stride: number): number;
  pass(
    first: number,
    before: number,
    after: number,
    neighbours: number,
    places: number,
    rows: number,
    stride: number,
    k: number,
    pull: number,
  ): number;
}

type Neighbours = Extract<AffinityMatrix, { form: 'neighbours' }>;

/** The kernel takes sixteen numbers of a row at a time. */
const BLOCK = 16;
/** What is added to each probability, so that its logarithm exists. */
const FLOOR = 1e-10;
const BYTES = Float32Array.BYTES_PER_ELEMENT;
const PAGE = 2 ** 16;
/** WebAssembly's memory ends at 4 GB; a problem that needs half of it is left to onnxruntime. */
const MOST_BYTES = 2 ** 31;
/** A kernel that grew beyond this is given up after its problem, since its memory never shrinks. */
const KEPT_BYTES = 2 ** 27;
/** The greatest pull λ k whose exponential the kernel can calculate with. */
const MOST_PULL = 80;

let compiled: Promise<WebAssembly.Module> | undefined;
let kept: Kernel | undefined;

/** Whether the kernel takes a problem `[rows, cols]` with k neighbours. */
export function kernelTakes({ rows, cols }: Matrix, k: number, lambda: number): boolean {
  return lambda * k <= MOST_PULL && bytesFor(rows, cols, k) <= MOST_BYTES;
}

/**
 * `runFixedPoint` of lame-sessions.ts for what is served most, float32 and neighbours on a CPU, in this thread: a pass
 * takes less time than onnxruntime needs on two cores.
 * @param probabilities - q `[N, K]`; the assignments take its place, since memory that was used before is quicker
 * @param neighbours - W `[N, N]`
 * @returns undefined where probabilities are negative, not finite, or too large to be added up
 */
export async function runKernel(
  probabilities: Matrix,
  { indices, k }: Neighbours,
  { lambda, maxSteps }: Pick<FixedPointOptions, 'lambda' | 'maxSteps'>,
): Promise<FixedPoint | undefined> {
  const { rows, cols } = probabilities;
  const width = widthOf(cols);
  const stride = width * BYTES;
  const kernel = await kernelOf(bytesFor(rows, cols, k));
  const { buffer } = kernel.memory;
  const first = PAGE;
  const turns = [first + rows * stride, first + 2 * rows * stride];
  const floors = first + 3 * rows * stride;
  const neighbours = floors + stride;
  const places = neighbours + indices.length * BYTES;
  new Float32Array(buffer, floors, width).fill(0).fill(FLOOR, 0, cols);
  new Int32Array(buffer, neighbours, indices.length).set(indices);

  writeRows(new Float32Array(buffer, turns[0], rows * width), probabilities);
  const scale = kernel.start(turns[0], floors, first, rows, stride);
  if (!Number.isFinite(scale)) return undefined;
  const noise = energyNoise('float32', rows);
  const pull = lambda * Math.LOG2E;
  let before = first;
  let energy = Infinity;
  let iterations = 0;
  for (let settled = false; iterations < maxSteps && !settled; iterations++) {
    const last = energy;
    const after = turns[iterations % 2];
    energy = -scale - kernel.pass(first, before, after, neighbours, places, rows, stride, k, pull);
    before = after;
    settled = iterations >= FIRST_JUDGED && Math.abs(energy - last) <= Math.abs(last) * SETTLED + noise;
  }
  readRows(probabilities, new Float32Array(buffer, before, rows * width));
  return { assignments: probabilities.data, iterations, energy };
}

/** A kernel whose memory holds so many bytes. */
async function kernelOf(bytes: number): Promise<Kernel> {
  compiled ??= readFile(new URL('./lame-passes.wasm', import.meta.url)).then((file) =>
    WebAssembly.compile(file),
  );
  const kernel = kept ?? ((await WebAssembly.instantiate(await compiled)).exports as unknown as Kernel);
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE));
  kept = bytes > KEPT_BYTES ? undefined : kernel;
  return kernel;
}

/** Numbers that a row of the kernel has. */
function widthOf(cols: number): number {
  return Math.ceil(cols / BLOCK) * BLOCK;
}

function bytesFor(rows: number, cols: number, k: number): number {
  return PAGE + ((3 * rows + 1) * widthOf(cols) + rows * k + k) * BYTES;
}

/** Sets the rows of a matrix apart, with zeros behind each. */
function writeRows(wide: Float32Array, { data, rows, cols }: Matrix): void {
  const width = widthOf(cols);
  if (width === cols) {
    wide.set(data);
    return;
  }
  for (let row = 0; row < rows; row++) {
    wide.set(data.subarray(row * cols, (row + 1) * cols), row * width);
    wide.fill(0, row * width + cols, (row + 1) * width);
  }
}

/** Sets the rows of a matrix together again. */
function readRows({ data, rows, cols }: Matrix, wide: Float32Array): void {
  const width = widthOf(cols);
  if (width === cols) {
    data.set(wide);
    return;
  }
  for (let row = 0; row < rows; row++) {
    data.set(wide.subarray(row * width, row * width + cols), row * cols);
  }
}
