import { parse } from './parsing-jobs.js';

/** So many tensors of so many numbers are enough for the compiler to take the checks of their numbers as hot. */
const ROUNDS = 8;
const NUMBERS = 64 * 1024;

let isWarm = false;

/**
 * Parses some made-up requests with binary tensors, once in a process. The code that goes over every number is compiled
 * by then; the first large request would otherwise hold the event loop for some 15 ms while it runs in the interpreter.
 */
export function warmParsing(): void {
  if (isWarm) return;
  isWarm = true;
  const size = NUMBERS * Float32Array.BYTES_PER_ELEMENT;
  const parameters = { binary_data_size: size };
  const json = Buffer.from(
    JSON.stringify({ inputs: [{ name: 'x', shape: [NUMBERS], datatype: 'FP32', parameters }] }),
  );
  const body = Buffer.concat([json, Buffer.alloc(size)]);
  const specs = [{ name: 'x', type: 'float32', dims: [-1] }] as const;
  for (let round = 0; round < ROUNDS; round++) {
    parse({ kind: 'infer', body, jsonBytes: json.length, specs, mayLack: false });
  }
}
