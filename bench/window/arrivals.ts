import { Random } from '../shift/random.js';

/** An order in which test images arrive. */
export interface Arrival {
  readonly name: string;
  /** Indices into the test set, in order. */
  readonly images: readonly number[];
  /** Whether the image at this place counts; all do where left out. */
  readonly counts?: (place: number) => boolean;
}

/** Images after a change of traffic that do not count yet. */
const FOLLOWS_WITHIN = 64;
const SLOT = 64;
const CONCENTRATION = 0.1;

/**
 * The kinds of traffic that are compared: shuffled, in runs of one class, with shares of classes drawn anew for each
 * 64 images (Dirichlet, 0.1 a class; the images of a slot in order of class, or mixed), and changing between
 * shuffled images and runs of 40.
 * @param labels - class of each image
 * @param count - images of an arrival, at most
 */
export function arrivalsOf(labels: readonly number[], count: number, seed: number): Arrival[] {
  const random = new Random(seed);
  const all = random.shuffled(labels.map((_, index) => index));
  const runs = (length: number): number[] => inRuns(labels, length, random).slice(0, count);
  const third = Math.floor(count / 3);
  const changing = [...all.slice(0, third), ...runs(40).slice(0, third), ...all.slice(third, 2 * third)];
  const later = (place: number): boolean => place >= third && place % third >= FOLLOWS_WITHIN;
  const part = (place: number): number => Math.floor(place / third);
  return [
    { name: 'shuffled', images: all.slice(0, count) },
    ...[10, 40, 200].map((length) => ({ name: `runs of ${length}`, images: runs(length) })),
    { name: 'Dirichlet, sorted', images: inSlots(labels, count, random, true) },
    { name: 'Dirichlet, mixed', images: inSlots(labels, count, random, false) },
    { name: 'changed to runs', images: changing, counts: (i) => later(i) && part(i) === 1 },
    { name: 'changed to shuffled', images: changing, counts: (i) => later(i) && part(i) === 2 },
  ];
}

function inRuns(labels: readonly number[], length: number, random: Random): number[] {
  const runs = membersOf(labels).flatMap((members) => {
    const mixed = random.shuffled(members);
    return Array.from({ length: Math.floor(mixed.length / length) }, (_, run) =>
      mixed.slice(run * length, (run + 1) * length),
    );
  });
  return random.shuffled(runs).flat();
}

function inSlots(labels: readonly number[], count: number, random: Random, sorted: boolean): number[] {
  const members = membersOf(labels);
  const images: number[] = [];
  while (images.length < count) {
    const weights = members.map(() => gammaBelowOne(CONCENTRATION, random));
    const total = weights.reduce((sum, weight) => sum + weight);
    const order = random.shuffled([...members.keys()]);
    const classes = Array.from({ length: SLOT }, () => drawn(weights, random.uniform() * total));
    if (sorted) classes.sort((a, b) => order[a] - order[b]);
    for (const label of classes) {
      images.push(members[label][Math.floor(random.uniform() * members[label].length)]);
    }
  }
  return images.slice(0, count);
}

function membersOf(labels: readonly number[]): number[][] {
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  return classes.map((label) => [...labels.keys()].filter((index) => labels[index] === label));
}

function drawn(weights: readonly number[], at: number): number {
  let left = at;
  const found = weights.findIndex((weight) => (left -= weight) < 0);
  return found < 0 ? weights.indexOf(Math.max(...weights)) : found;
}

/** A draw of the gamma distribution of a shape below 1 (Ahrens and Dieter, 1974). */
function gammaBelowOne(shape: number, random: Random): number {
  const bound = 1 + shape / Math.E;
  for (;;) {
    const p = bound * random.uniform();
    const x = p <= 1 ? p ** (1 / shape) : -Math.log((bound - p) / shape);
    if (random.uniform() <= (p <= 1 ? Math.exp(-x) : x ** (shape - 1))) return x;
  }
}
