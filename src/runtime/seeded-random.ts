/**
 * Uniform random numbers from seeds, by xoshiro128** (Blackman and Vigna, 2021): the same seeds give the same numbers,
 * in whichever thread.
 */
export class SeededRandom {
  private readonly state: Uint32Array;

  /** @param seeds - any integers; streams whose seeds differ in any of them are independent for all that matters */
  constructor(...seeds: readonly number[]) {
    this.state = Uint32Array.from([1, 2, 3, 4], (lane) => seeds.reduce(scramble, lane));
  }

  /** The next number, an integer in [0, 2³²). */
  next(): number {
    const s = this.state as unknown as [number, number, number, number];
    const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 11);
    return result;
  }

  /** The next number, in [0, 1). */
  uniform(): number {
    return this.next() / 2 ** 32;
  }

  /** The numbers 0 to `count` - 1, each once, in random order (Fisher and Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, index) => index);
    for (let last = count - 1; last > 0; last--) {
      const other = Math.floor(this.uniform() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    return order;
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** Mixes a seed in, so that neighbouring seeds give unrelated states (the finaliser of MurmurHash3). */
function scramble(hash: number, seed: number): number {
  let mixed = (Math.imul(hash, 0x9e3779b1) ^ seed) | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
