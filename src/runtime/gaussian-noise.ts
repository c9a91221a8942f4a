/**
 * Standard normal numbers from a seed: the same seed gives the same numbers, in whichever thread. Uniform numbers by
 * xoshiro128** (Blackman and Vigna, 2021), pairs of normal ones by Box and Muller (1958).
 */
export class GaussianNoise {
  private readonly state: Uint32Array;
  private spare: number | undefined;

  /** @param seeds - any integers; streams whose seeds differ in any of them are independent for all that matters */
  constructor(...seeds: readonly number[]) {
    this.state = Uint32Array.from([1, 2, 3, 4], (lane) => seeds.reduce(scramble, lane));
  }

  /** The next number. */
  next(): number {
    if (this.spare !== undefined) {
      const { spare } = this;
      this.spare = undefined;
      return spare;
    }
    // The logarithm needs a number above 0.
    const radius = Math.sqrt(-2 * Math.log((this.uniform() + 1) / 2 ** 32));
    const angle = (2 * Math.PI * this.uniform()) / 2 ** 32;
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  private uniform(): number {
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
