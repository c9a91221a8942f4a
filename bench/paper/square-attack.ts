import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

/** What an attacker can ask: class probabilities `[N, K]` of pictures, and nothing else. */
export type Scores = (pictures: readonly Uint8Array[]) => Promise<Matrix>;

/** Pictures to attack: 8-bit levels `[3, side, side]`, channel by channel. */
export interface AttackedSet {
  readonly pictures: readonly Uint8Array[];
  /** Class of each, `[N]`. */
  readonly labels: ArrayLike<number>;
  /** Pixels in a row, and in a column. */
  readonly side: number;
}

/** How hard is tried. */
export interface AttackEffort {
  /** The most that a level may change: 8 of 255. */
  readonly epsilon: number;
  /** Questions about one picture, the first about the picture itself not counted. */
  readonly queries: number;
  /** Of stripes, places and colours. */
  readonly seed: number;
}

/** What an attack came to. */
export interface AttackResult {
  /** Each picture as the attack left it. */
  readonly pictures: readonly Uint8Array[];
  /** Whether the right class is still ahead, `[N]`. */
  readonly kept: readonly boolean[];
  /** Questions asked in all, those about the pictures themselves counted. */
  readonly asked: number;
}

const CHANNELS = 3;

/** Share of the picture that the first square covers, as in AutoAttack. */
const FIRST_AREA = 0.8;

/** Shares of the queries, of 10,000, after which the area is halved. */
const HALVINGS = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000].map((query) => query / 10_000);

/** The least float32 above 0, which stands for a probability that fell below it. */
const LEAST_PROBABILITY = 2 ** -149;

/**
 * The Square attack within an L∞ ball (Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial
 * attack via random search", ECCV 2020, algorithms 1 and 2): vertical stripes to begin with, then squares of one colour
 * at random places, each channel at one end of its range; a change stays where the margin falls. A picture is left alone
 * as soon as it is no longer recognised. Levels stay whole numbers, so that each picture could be sent as a file. What is
 * drawn for a picture depends on the seed and its place alone, not on how the others fare.
 * @throws RangeError where epsilon is no whole number of at least 1; what `scores` throws
 */
export async function squareAttack(
  scores: Scores,
  { pictures, labels, side }: AttackedSet,
  { epsilon, queries, seed }: AttackEffort,
): Promise<AttackResult> {
  if (!Number.isSafeInteger(epsilon) || epsilon < 1) {
    throw new RangeError(`Epsilon is ${epsilon}; it is a whole number of grey levels, at least 1.`);
  }
  const bounds = pictures.map((picture) => boundsOf(picture, epsilon));
  const randoms = pictures.map((_, i) => new SeededRandom(seed, i));
  const bent = [...pictures];
  const best = marginsOf(await scores(pictures), labels);
  let asked = pictures.length;
  for (let query = 0; query < queries; query++) {
    const live = [...best.keys()].filter((i) => best[i] > 0);
    if (live.length === 0) break;
    const size = squareSide(query / queries, side);
    const tried = live.map((i) =>
      query === 0
        ? striped(bounds[i], side, randoms[i])
        : withSquare(bent[i], bounds[i], side, size, randoms[i]),
    );
    const margins = marginsOf(
      await scores(tried),
      live.map((i) => labels[i]),
    );
    asked += live.length;
    live.forEach((i, place) => {
      if (margins[place] >= best[i]) return;
      best[i] = margins[place];
      bent[i] = tried[place];
    });
  }
  return { pictures: bent, kept: best.map((margin) => margin > 0), asked };
}

/**
 * How far the right class is ahead of the next, in logarithms, which for one classifier is the published margin of the
 * logits.
 * @param probabilities - `[N, K]`
 * @param labels - `[N]`
 * @returns `[N]`; above 0 where the right class is the most probable
 */
export function marginsOf({ data, rows, cols }: Matrix, labels: ArrayLike<number>): number[] {
  return Array.from({ length: rows }, (_, row) => {
    const logs = Array.from(data.subarray(row * cols, (row + 1) * cols), (value) =>
      Math.log(Math.max(value, LEAST_PROBABILITY)),
    );
    const own = logs[labels[row]];
    logs[labels[row]] = -Infinity;
    return own - Math.max(...logs);
  });
}

/**
 * The side of the square in pixels: the root of its area, which is halved at the published shares of the queries.
 * @param done - share of the queries that are done, in [0, 1)
 * @param side - of the picture
 */
export function squareSide(done: number, side: number): number {
  const halvings = HALVINGS.filter((share) => done > share).length;
  const size = Math.round(Math.sqrt(FIRST_AREA / 2 ** halvings) * side);
  return Math.min(side - 1, Math.max(1, size));
}

/** The ends of each level's range, `[low, high]`. */
type Bounds = readonly [Uint8ClampedArray, Uint8ClampedArray];

function boundsOf(picture: Uint8Array, epsilon: number): Bounds {
  return [
    Uint8ClampedArray.from(picture, (level) => level - epsilon),
    Uint8ClampedArray.from(picture, (level) => level + epsilon),
  ];
}

function eitherEnd(bounds: Bounds, random: SeededRandom): Uint8ClampedArray {
  return bounds[random.uniform() < 0.5 ? 0 : 1];
}

function striped(bounds: Bounds, side: number, random: SeededRandom): Uint8Array {
  const picture = new Uint8Array(CHANNELS * side * side);
  for (let channel = 0; channel < CHANNELS; channel++) {
    for (let column = 0; column < side; column++) {
      const end = eitherEnd(bounds, random);
      for (let row = 0; row < side; row++) {
        const at = (channel * side + row) * side + column;
        picture[at] = end[at];
      }
    }
  }
  return picture;
}

/** The picture with one more square. Colours that change nothing are drawn again: they would waste a question. */
function withSquare(
  picture: Uint8Array,
  bounds: Bounds,
  side: number,
  size: number,
  random: SeededRandom,
): Uint8Array {
  const [top, left] = [0, 0].map(() => Math.floor(random.uniform() * (side - size + 1)));
  const changed = picture.slice();
  for (let differs = false; !differs;) {
    for (let channel = 0; channel < CHANNELS; channel++) {
      const end = eitherEnd(bounds, random);
      for (let row = top; row < top + size; row++) {
        const begin = (channel * side + row) * side + left;
        for (let at = begin; at < begin + size; at++) {
          changed[at] = end[at];
          differs ||= changed[at] !== picture[at];
        }
      }
    }
  }
  return changed;
}
