/**
 * The passes of LAME's fixed point on a CPU, in AssemblyScript: `npm run build` makes lame-passes.wasm of it, and
 * ../lame-kernel.ts calls it. Each row goes through its whole update while it is in the nearest cache, where
 * onnxruntime takes one operation after another over the whole matrix.
 *
 * Z = softmax(-u + λ Σ Z) with -u = log(q + 1e-10) is softmax(-u) e^(λ Σ Z), but for its scale: so the softmax is taken
 * once, no pass needs a logarithm, and with a pull of at most λ k no exponent is too large.
 *
 * Matrices are float32, row by row; a row takes `stride` bytes, a multiple of 64, with zeros behind its last column.
 * Arguments of type usize are addresses and lengths in bytes.
 */

/**
 * softmax(-u) of every row, which is (q + 1e-10) / Σ (q + 1e-10).
 * @param floors - a row of what is added to each column: 1e-10, and 0 behind the last
 * @returns the sum over the rows of log Σ (q + 1e-10); NaN where a probability is negative or not finite
 */
export function start(
  probabilities: usize,
  floors: usize,
  assignments: usize,
  rows: usize,
  stride: usize,
): f64 {
  const zero = f32x4.splat(0);
  const infinity = f32x4.splat(Infinity);
  let valid = i32x4.splat(-1);
  let logs: f64 = 0;
  for (let row: usize = 0; row < rows * stride; row += stride) {
    let sums = zero;
    for (let at: usize = 0; at < stride; at += 16) {
      const q = v128.load(probabilities + row + at);
      valid = v128.and(valid, v128.and(f32x4.ge(q, zero), f32x4.lt(q, infinity)));
      const value = f32x4.add(q, v128.load(floors + at));
      sums = f32x4.add(sums, value);
      v128.store(assignments + row + at, value);
    }
    logs += Math.log(normalise(assignments + row, stride, sums));
  }
  return i32x4.all_true(valid) ? logs : NaN;
}

/**
 * One pass: Z = softmax(-u + λ Σ Z of the neighbours) for every row.
 * @param first - softmax(-u)
 * @param before - the assignments that the neighbours have
 * @param after - where the new ones go
 * @param neighbours - `[k, rows]` int32
 * @param places - room for k addresses
 * @param pull - λ log2 e
 * @returns the sum over the rows of log Σ softmax(-u) e^(λ Σ Z)
 */
export function pass(
  first: usize,
  before: usize,
  after: usize,
  neighbours: usize,
  places: usize,
  rows: usize,
  stride: usize,
  k: usize,
  pull: f32,
): f64 {
  const end = places + (k << 2);
  const weight = f32x4.splat(pull);
  let logs: f64 = 0;
  for (let row: usize = 0; row < rows; row++) {
    for (let one: usize = 0; one < k; one++) {
      const neighbour: usize = load<u32>(neighbours + ((one * rows + row) << 2));
      store<usize>(places + (one << 2), before + neighbour * stride);
    }
    const from = first + row * stride;
    const to = after + row * stride;
    let sums = f32x4.splat(0);
    // Sixteen columns at a time: four sums, so that no addition waits for the one before.
    for (let at: usize = 0; at < stride; at += 64) {
      let a = f32x4.splat(0);
      let b = a;
      let c = a;
      let d = a;
      for (let place = places; place < end; place += 4) {
        const z = load<usize>(place) + at;
        a = f32x4.add(a, v128.load(z));
        b = f32x4.add(b, v128.load(z, 16));
        c = f32x4.add(c, v128.load(z, 32));
        d = f32x4.add(d, v128.load(z, 48));
      }
      a = f32x4.mul(v128.load(from + at), powerOf2(f32x4.mul(a, weight)));
      b = f32x4.mul(v128.load(from + at, 16), powerOf2(f32x4.mul(b, weight)));
      c = f32x4.mul(v128.load(from + at, 32), powerOf2(f32x4.mul(c, weight)));
      d = f32x4.mul(v128.load(from + at, 48), powerOf2(f32x4.mul(d, weight)));
      v128.store(to + at, a);
      v128.store(to + at, b, 16);
      v128.store(to + at, c, 32);
      v128.store(to + at, d, 48);
      sums = f32x4.add(sums, f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
    }
    logs += Math.log(normalise(to, stride, sums));
  }
  return logs;
}

/** Divides a row by its sum, of which `sums` are four parts; returns the sum. */
function normalise(row: usize, stride: usize, sums: v128): f64 {
  const sum =
    f32x4.extract_lane(sums, 0) +
    f32x4.extract_lane(sums, 1) +
    (f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3));
  const scale = f32x4.splat(1 / sum);
  for (let at: usize = 0; at < stride; at += 16) {
    v128.store(row + at, f32x4.mul(v128.load(row + at), scale));
  }
  return sum;
}

/** 2^x for x from 0 to 120: 2^n 2^r with n whole and r within a half, where a polynomial is within 1e-7 of it. */
function powerOf2(x: v128): v128 {
  // A number this large has no room for fractions: adding it rounds, and leaves n in the lowest bits.
  const rounder = f32x4.splat(12582912);
  const shifted = f32x4.add(x, rounder);
  const r = f32x4.sub(x, f32x4.sub(shifted, rounder));
  const r2 = f32x4.mul(r, r);
  const low = f32x4.add(f32x4.mul(r, f32x4.splat(0.6931470036506653)), f32x4.splat(1));
  const middle = f32x4.add(f32x4.mul(r, f32x4.splat(0.05550733581185341)), f32x4.splat(0.24022242426872253));
  const high = f32x4.add(f32x4.mul(r, f32x4.splat(0.001326472731307149)), f32x4.splat(0.009671512991189957));
  const curve = f32x4.add(f32x4.mul(r2, f32x4.add(f32x4.mul(r2, high), middle)), low);
  return i32x4.add(curve, i32x4.shl(shifted, 23));
}
