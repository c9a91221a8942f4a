import type { SeededRandom } from '../../runtime/seeded-random.js';

/**
 * Draws a plasma fractal by the diamond-square algorithm (Fournier, Fussell and Carpenter, 1982) on a torus: the
 * middles of squares, then those of diamonds, at half the distance each time.
 * @param size - a power of two, 2 or more
 * @param decay - by how much the random part shrinks each time; more is smoother
 * @returns `[size, size]`, from 0 to 1
 */
export function plasma(size: number, decay: number, random: SeededRandom): Float64Array {
  const field = new Float64Array(size * size);
  // The recipe draws from its wobble and multiplies by it: the random part is the square.
  for (let step = size, wobble = 100; step >= 2; step /= 2, wobble /= decay) {
    const half = step / 2;
    const spread = wobble * wobble;
    const around = (y: number, x: number): number => field[(y & (size - 1)) * size + (x & (size - 1))];
    const settle = (y: number, x: number, sum: number): void => {
      field[y * size + x] = sum / 4 + spread * (2 * random.uniform() - 1);
    };
    for (let y = half; y < size; y += step) {
      for (let x = half; x < size; x += step) {
        const upper = around(y - half, x - half) + around(y - half, x + half);
        settle(y, x, upper + around(y + half, x - half) + around(y + half, x + half));
      }
    }
    for (let y = 0; y < size; y += half) {
      for (let x = y % step === 0 ? half : 0; x < size; x += step) {
        settle(y, x, around(y - half, x) + around(y + half, x) + around(y, x - half) + around(y, x + half));
      }
    }
  }
  return stretched(field);
}

function stretched(field: Float64Array): Float64Array {
  let [low, high] = [Infinity, -Infinity];
  for (const value of field) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const scale = 1 / (high - low);
  for (let i = 0; i < field.length; i++) field[i] = (field[i] - low) * scale;
  return field;
}
