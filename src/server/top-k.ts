// Below this an insertion sort of the k best beats sorting the whole row.
const SMALL_K = 32;

/**
 * The k greatest elements of a row, greatest first; of equal ones the first, and NaN after all numbers.
 * @param data - row-major elements
 * @param begin - where the row begins
 * @param length - elements in the row
 * @param k - how many; capped by the row
 * @returns their indices within the row
 */
export function topIndices(data: ArrayLike<number>, begin: number, length: number, k: number): number[] {
  const count = Math.min(k, length);
  return count <= SMALL_K ? insertTop(data, begin, length, count) : sortTop(data, begin, length, count);
}

function insertTop(data: ArrayLike<number>, begin: number, length: number, count: number): number[] {
  const best: number[] = [];
  for (let index = 0; index < length; index++) {
    const value = data[begin + index];
    if (best.length === count && !isAbove(value, data[begin + best[count - 1]])) continue;
    let place = best.length === count ? count - 1 : best.length;
    while (place > 0 && isAbove(value, data[begin + best[place - 1]])) {
      best[place] = best[place - 1]!;
      place--;
    }
    best[place] = index;
  }
  return best;
}

function sortTop(data: ArrayLike<number>, begin: number, length: number, count: number): number[] {
  const indices = Array.from({ length }, (_, index) => index);
  indices.sort((a, b) => {
    const [one, other] = [data[begin + a], data[begin + b]];
    if (isAbove(one, other)) return -1;
    return isAbove(other, one) ? 1 : a - b;
  });
  indices.length = count;
  return indices;
}

function isAbove(value: number, other: number): boolean {
  return value > other || (Number.isNaN(other) && !Number.isNaN(value));
}
