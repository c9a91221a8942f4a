import { BallastError } from '../errors.js';
import type { Matrix } from '../runtime/tensor.js';

/**
 * Checks the probabilities of a batch `[N, K]`; their rows need not sum to 1.
 * @throws BallastError invalid-input where one is negative or not finite; it names the row
 */
export function checkProbabilities({ data, cols }: Matrix): void {
  if (allMayBe(data)) return;
  const cell = data.findIndex((value) => !(value >= 0 && value < Infinity));
  const what = Number.isFinite(data[cell]) ? 'negative' : 'not finite';
  throw new BallastError(
    'invalid-input',
    `Row ${Math.floor(cell / cols)} of the probabilities holds a value that is ${what}.`,
  );
}

/**
 * Whether no number is negative, NaN or infinite: v - |v| is 0 for what may be, and NaN or less for all else. No branch,
 * and four sums, since each addition waits for the one before.
 */
function allMayBe(data: Float32Array): boolean {
  let [first, second, third, fourth] = [0, 0, 0, 0];
  const whole = data.length - (data.length % 4);
  for (let cell = 0; cell < whole; cell += 4) {
    first += data[cell] - Math.abs(data[cell]);
    second += data[cell + 1] - Math.abs(data[cell + 1]);
    third += data[cell + 2] - Math.abs(data[cell + 2]);
    fourth += data[cell + 3] - Math.abs(data[cell + 3]);
  }
  for (let cell = whole; cell < data.length; cell++) first += data[cell] - Math.abs(data[cell]);
  return first + second + third + fourth === 0;
}
