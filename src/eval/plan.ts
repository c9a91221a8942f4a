import type { Condition } from './condition.js';
import type { Front } from './forward-pass.js';
import { mixesSamples, type Method } from './method.js';
import { arrivalOf, type Arrival, type Stream } from './streams.js';

/** A stream and the order that was drawn for it. */
export interface DrawnStream {
  readonly stream: Stream;
  readonly arrival: Arrival;
}

/** Pictures of one condition, or of all in turn, with the streams that they come in. */
export interface Setting {
  readonly name: string;
  /** One, or for the mixed stream all. */
  readonly conditions: readonly Condition[];
  readonly streams: readonly DrawnStream[];
}

/** One method's work in a setting. */
export interface Work {
  readonly method: Method;
  /** All that tells it from other work of the run: the key that it is kept by. */
  readonly what: Readonly<Record<string, unknown>>;
  /** Undefined where the order of arrival changes no answer. */
  readonly stream?: DrawnStream;
  /** Samples a request; 0 where that changes no answer. */
  readonly batch: number;
}

/**
 * The settings of a run: one a condition, and one for the mixed stream, if that is among the streams.
 * @param labels - true classes, `[N]`
 */
export function settingsOf(
  conditions: readonly Condition[],
  streams: readonly Stream[],
  labels: Uint32Array,
  seed: number,
): Setting[] {
  const drawn = (stream: Stream): DrawnStream => ({
    stream,
    arrival: arrivalOf(stream, labels, seed, conditions.length),
  });
  const plain = streams.filter(({ kind }) => kind !== 'mixed').map(drawn);
  const mixed = streams.filter(({ kind }) => kind === 'mixed').map(drawn);
  return [
    ...(plain.length === 0
      ? []
      : conditions.map((one) => ({ name: one.name, conditions: [one], streams: plain }))),
    ...(mixed.length === 0 ? [] : [{ name: 'mixed', conditions, streams: mixed }]),
  ];
}

/** What is to be done for a setting: LAME in each stream and at each size of request, everything else once. */
export function worksOf(
  { name, conditions, streams }: Setting,
  methods: readonly Method[],
  batches: readonly number[],
): Work[] {
  const of = { condition: name, conditions: conditions.map((condition) => condition.name) };
  return methods.flatMap((method): Work[] => {
    const what = { ...of, method: method.name };
    if (!mixesSamples(method)) return [{ method, what, batch: 0 }];
    return streams.flatMap((stream) =>
      batches.map((batch) => ({
        method,
        stream,
        batch,
        what: { ...what, stream: stream.stream.name, batch },
      })),
    );
  });
}

/** What of a method comes before LAME. */
export function frontOf({ parts }: Method): Front {
  return { smoothing: parts.includes('smoothing'), prompt: parts.includes('prompt') };
}

/** A text for each front. */
export function keyOf({ smoothing, prompt }: Front): string {
  return `${smoothing} ${prompt}`;
}

/** The pass that a work takes its answers from: one that mixes has those of the standard classifier, too. */
export function passOf({ method }: Work, open: readonly Work[]): Front {
  const { prompt } = frontOf(method);
  const fronts = open.map((work) => frontOf(work.method));
  return { prompt, smoothing: fronts.some((front) => front.smoothing && front.prompt === prompt) };
}

/** About how much longer than a plain pass of one sample each takes. */
const UNITS = { smoothing: 2, prompt: 1, lame: 0.15, lameAlone: 0.4 };

/** Units of a picture that is corrupted. */
export const CORRUPTION_UNITS = 0.1;

/** Units of a sample in a pass. */
export function unitsOfPass({ smoothing, prompt }: Front): number {
  return 1 + (smoothing ? UNITS.smoothing : 0) + (prompt ? UNITS.prompt : 0);
}

/** Units of a sample in LAME. */
export function unitsOfLame(batch: number): number {
  return batch === 1 ? UNITS.lameAlone : UNITS.lame;
}

/**
 * Units that a setting takes.
 * @param open - its works that are not done
 * @param samples - N
 */
export function unitsOfSetting({ conditions }: Setting, open: readonly Work[], samples: number): number {
  if (open.length === 0) return 0;
  const passes = new Map(open.map((work) => [keyOf(passOf(work, open)), passOf(work, open)] as const));
  const corrupted = conditions.filter(({ corruption }) => corruption !== undefined).length;
  return (
    samples *
    ((CORRUPTION_UNITS * corrupted) / conditions.length +
      [...passes.values()].reduce((sum, pass) => sum + unitsOfPass(pass), 0) +
      open.reduce((sum, { stream, batch }) => sum + (stream === undefined ? 0 : unitsOfLame(batch)), 0))
  );
}
