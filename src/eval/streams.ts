import { BallastError } from '../errors.js';
import { closestNames } from '../runtime/onnx/closest-names.js';
import { SeededRandom } from '../runtime/seeded-random.js';
import { randomShares } from './random-gamma.js';

/** The order in which labelled samples arrive. */
export type Stream =
  | { readonly kind: 'shuffled' | 'sorted' | 'mixed'; readonly name: string }
  | { readonly kind: 'runs'; readonly name: string; readonly length: number }
  | { readonly kind: 'dirichlet'; readonly name: string; readonly delta: number };

/** An order of arrival, and what of it is resampled whole for intervals. */
export interface Arrival {
  /** Index of the sample at each place, `[N]`; each sample comes once. */
  readonly order: Uint32Array;
  /** Places at which a stretch begins that belongs together, ascending, the first 0. One a sample where none do. */
  readonly blocks: Uint32Array;
}

/** Samples in a segment of a Dirichlet stream, on average. */
export const SEGMENT = 64;

/** Where samples of a class or a condition follow one another for long, stretches of at most so many are resampled. */
export const LONGEST_BLOCK = 40;

const KINDS = ['shuffled', 'sorted', 'runs', 'dirichlet', 'mixed'] as const;

/**
 * Reads a list of streams:
 * - `shuffled`: independent draws; samples of a request have nothing to do with each other.
 * - `sorted`: all of one class, then all of the next.
 * - `runs:40`: runs of 40 of one class, in random order: a camera that looks at one thing for a while.
 * - `dirichlet:0.1`: segments of about 64 with shares of the classes of their own; the smaller the number, the fewer
 *   classes in each.
 * - `mixed`: shuffled, each condition in turn.
 *
 * All but the first and the last are not i.i.d., which is what LAME is for.
 * @param text - separated by commas
 * @throws BallastError invalid-input for a stream that is none, or a number out of range
 */
export function parseStreams(text: string): Stream[] {
  const streams = new Map<string, Stream>();
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const stream = streamOf(item);
    streams.set(stream.name, stream);
  }
  if (streams.size > 0) return [...streams.values()];
  throw new BallastError('invalid-input', 'No stream is named; give some such as shuffled,runs:40.');
}

function streamOf(item: string): Stream {
  const [written, ...more] = item.split(':');
  const value = more.length === 1 ? more[0].trim() : undefined;
  const kind = KINDS.find((known) => known === written);
  const number = value === undefined || value === '' ? NaN : Number(value);
  if (kind === undefined) {
    const near = closestNames(written, KINDS, 1).at(0);
    throw new BallastError(
      'invalid-input',
      `There is no stream "${written}"${near === undefined ? '' : `; did you mean "${near}"?`} There are shuffled, sorted, runs:LENGTH, dirichlet:DELTA and mixed.`,
    );
  }
  if (kind === 'runs' && Number.isSafeInteger(number) && number >= 2) {
    return { kind, name: `runs:${number}`, length: number };
  }
  if (kind === 'dirichlet' && number > 0 && number <= 1000) {
    return { kind, name: `dirichlet:${number}`, delta: number };
  }
  if (kind !== 'runs' && kind !== 'dirichlet' && more.length === 0) return { kind, name: kind };
  throw new BallastError(
    'invalid-input',
    `The stream "${item}" is written wrong; it is runs:LENGTH with a whole number of at least 2, dirichlet:DELTA with a number above 0 and up to 1000, and shuffled, sorted or mixed alone.`,
  );
}

/**
 * Whether neighbours in the stream are likely to be of one class.
 */
export function isCorrelated({ kind }: Pick<Stream, 'kind'>): boolean {
  return kind === 'sorted' || kind === 'runs' || kind === 'dirichlet';
}

/**
 * Draws an order of arrival.
 * @param labels - class of each sample, `[N]`
 * @param seed - the same seed, stream and labels give the same order
 * @param conditions - of the mixed stream: how many conditions take turns
 */
export function arrivalOf(stream: Stream, labels: Uint32Array, seed: number, conditions = 1): Arrival {
  const count = labels.length;
  const random = new SeededRandom(seed, KINDS.indexOf(stream.kind));
  switch (stream.kind) {
    case 'shuffled':
      return { order: random.permutation(count), blocks: Uint32Array.from(labels.keys()) };
    case 'mixed': {
      const turns = Array.from({ length: conditions + 1 }, (_, i) => Math.ceil((i * count) / conditions));
      return { order: random.permutation(count), blocks: cutAt(turns) };
    }
    case 'sorted':
      return inStretches(membersByClass(labels, random));
    case 'runs': {
      const runs = membersByClass(labels, random).flatMap((members) =>
        Array.from({ length: Math.ceil(members.length / stream.length) }, (_, run) =>
          members.slice(run * stream.length, (run + 1) * stream.length),
        ),
      );
      return inStretches(
        Array.from(random.permutation(runs.length), (run) => runs[run]),
        stream.length,
      );
    }
    case 'dirichlet':
      return inStretches(dirichletSegments(labels, stream.delta, random), count);
  }
}

/**
 * Which condition each sample of the mixed stream has.
 * @param arrival - of the mixed stream
 * @param conditions - how many there are
 * @returns index of the condition of each sample, by sample `[N]`
 */
export function conditionsInTurn({ order }: Arrival, conditions: number): Uint32Array {
  const turn = new Uint32Array(order.length);
  order.forEach((sample, place) => {
    turn[sample] = Math.floor((place * conditions) / order.length);
  });
  return turn;
}

/** The samples of each class, shuffled; the classes in their own order. */
function membersByClass(labels: Uint32Array, random: SeededRandom): number[][] {
  const members = new Map<number, number[]>();
  for (const sample of random.permutation(labels.length)) {
    const label = labels[sample];
    members.set(label, [...(members.get(label) ?? []), sample]);
  }
  return [...members].sort(([a], [b]) => a - b).map(([, own]) => own);
}

/** Each class's samples are dealt to the segments in shares of their own (Gong et al., NOTE, NeurIPS 2022, section 4). */
function dirichletSegments(labels: Uint32Array, delta: number, random: SeededRandom): number[][] {
  const segments = Array.from(
    { length: Math.max(1, Math.round(labels.length / SEGMENT)) },
    (): number[] => [],
  );
  for (const members of membersByClass(labels, random)) {
    let share = 0;
    let begin = 0;
    randomShares(random, delta, segments.length).forEach((own, segment) => {
      share += own;
      const end = segment === segments.length - 1 ? members.length : Math.round(share * members.length);
      segments[segment].push(...members.slice(begin, end));
      begin = end;
    });
  }
  return segments
    .filter((segment) => segment.length > 0)
    .map((segment) => Array.from(random.permutation(segment.length), (place) => segment[place]));
}

function inStretches(stretches: readonly (readonly number[])[], longest = LONGEST_BLOCK): Arrival {
  const ends = [0];
  for (const stretch of stretches) ends.push(ends.at(-1)! + stretch.length);
  return { order: Uint32Array.from(stretches.flat()), blocks: cutAt(ends, longest) };
}

/** Where stretches begin that end at the given places, and are no longer than `longest`. */
function cutAt(ends: readonly number[], longest = LONGEST_BLOCK): Uint32Array {
  const blocks: number[] = [];
  for (let i = 0; i + 1 < ends.length; i++) {
    for (let begin = ends[i]; begin < ends[i + 1]; begin += longest) blocks.push(begin);
  }
  return Uint32Array.from(blocks);
}
