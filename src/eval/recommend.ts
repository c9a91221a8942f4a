import type { METHOD_PARTS } from './method.js';
import { fragmentOf } from './recommend-fragment.js';
import type { Advice, Cell, Recommendation, ReportInterval } from './report-schema.js';

/** Points of accuracy that shuffled clean traffic may lose; more, and a method is left off. */
export const MOST_HARM = 0.005;

/** A gain in accuracy over some cells, as shares. */
interface Gain {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** One kind of traffic: an order of arrival and a size of request. */
interface Traffic {
  readonly stream: string;
  readonly batch: number;
}

/** What model.yaml can say for all traffic: one method for streams, one for requests. */
interface Policy {
  readonly method: string;
  readonly lameScope?: 'request' | 'stream';
  /** The method that a kind of traffic gets. */
  readonly at: (batch: number) => string;
}

const BASE = 'base';

/**
 * What the cells say should be switched on. It follows from these rules alone:
 *
 * - The gain of a method in a kind of traffic (stream and size of request) is the mean over the conditions; its
 *   interval the mean of their bounds, which is as wide as it can be since all conditions share their pictures.
 * - A method helps there where the interval lies above 0. It is left off where the interval holds 0 or lies below,
 *   where it costs shuffled clean traffic more than 0.5 points at the same size of request, and where that was not
 *   measured. Of several that help, the one with the greatest gain is taken.
 * - model.yaml gets what helps in some kind of traffic, is not shown to harm in any, and passes the rule on shuffled
 *   clean traffic at every size of request that it changes; of several, the one with the greatest mean gain over all
 *   traffic. LAME may be for streams alone (requests of one sample), which leaves other requests as they are.
 * @param cells - of a report
 * @returns the advice, with sentences that name the numbers
 */
export function recommend(cells: readonly Cell[]): Recommendation {
  const methods = unique(cells.map(({ method }) => method)).filter((method) => method !== BASE);
  const kinds = trafficOf(cells);
  const traffic = kinds.map((kind) => adviseOn(kind, methods, cells));
  const policy = bestPolicy(policiesOf(methods), kinds, cells);
  const fragment = fragmentOf(policy.method, policy.lameScope, partsMeasured(methods));
  return {
    summary: methods.length === 0 ? 'Only the base model was measured.' : summaryOf(policy, traffic),
    method: policy.method,
    ...(policy.lameScope && { lameScope: policy.lameScope }),
    fragment,
    traffic,
  };
}

function adviseOn({ stream, batch }: Traffic, methods: readonly string[], cells: readonly Cell[]): Advice {
  const judged = methods.flatMap((method) => {
    const gain = gainOf(cells, stream, batch, method);
    return gain === undefined ? [] : [{ method, gain, harm: harmOf(cells, batch, method) }];
  });
  const best = judged
    .filter(({ gain, harm }) => gain.low > 0 && harm !== undefined && harm >= -MOST_HARM)
    .sort((a, b) => b.gain.value - a.gain.value)
    .at(0);
  if (best !== undefined) {
    const { method, gain } = best;
    return { stream, batch, method, gain, reason: `${method} gains ${told(gain)}.` };
  }
  const nearest = judged.sort((a, b) => b.gain.value - a.gain.value).at(0);
  const why = nearest === undefined ? 'nothing else was measured' : reasonAgainst(nearest);
  return { stream, batch, method: BASE, gain: null, reason: `Leave it off: ${why}.` };
}

function reasonAgainst(nearest: { method: string; gain: Gain; harm: number | undefined }): string {
  const { method, gain, harm } = nearest;
  if (!Number.isFinite(gain.low)) {
    return `${method}, the best, gains ${signed(gain.value)} points, but there are too few runs for an interval; take more samples`;
  }
  if (gain.low <= 0 && gain.high >= 0)
    return `${method}, the best, gains ${told(gain)}, and that interval includes 0`;
  if (gain.high < 0) return `${method}, the best, loses: ${told(gain)}`;
  if (harm === undefined) {
    return `${method} gains ${told(gain)}, but what it costs shuffled clean traffic was not measured; add clean to --conditions and shuffled to --streams`;
  }
  return `${method} gains ${told(gain)} here, but costs shuffled clean traffic ${points(-harm)} points; take it only where all traffic is like this`;
}

/** All that model.yaml can express. */
function policiesOf(methods: readonly string[]): Policy[] {
  return methods.flatMap((method): Policy[] => {
    const without = method
      .split('+')
      .filter((part) => !part.startsWith('lame'))
      .join('+');
    const everywhere = { method, at: () => method };
    if (without === method) return [everywhere];
    return [
      { ...everywhere, lameScope: 'request' },
      { method, lameScope: 'stream', at: (batch) => (batch === 1 ? method : without || BASE) },
    ];
  });
}

function bestPolicy(policies: readonly Policy[], kinds: readonly Traffic[], cells: readonly Cell[]): Policy {
  const nothing: Policy = { method: BASE, at: () => BASE };
  const sound = policies.flatMap((policy) => {
    const changed = kinds.filter(({ batch }) => policy.at(batch) !== BASE);
    // What was not measured is not advised.
    const gains = changed.map(({ stream, batch }) => gainOf(cells, stream, batch, policy.at(batch)));
    const harms = changed.map(({ batch }) => harmOf(cells, batch, policy.at(batch)));
    const known = gains.filter((gain) => gain !== undefined);
    const passes =
      known.length === gains.length &&
      known.some(({ low }) => low > 0) &&
      known.every(({ high }) => high >= 0) &&
      harms.every((harm) => harm !== undefined && harm >= -MOST_HARM);
    const total = known.reduce((sum, { value }) => sum + value, 0);
    return passes ? [{ policy, total: total / kinds.length }] : [];
  });
  // Where only streams were measured, or scopes do the same, the narrower promise is the safer one.
  const order = (policy: Policy): number => (policy.lameScope === 'stream' ? 0 : 1);
  return (
    sound.sort((a, b) => b.total - a.total || order(a.policy) - order(b.policy)).at(0)?.policy ?? nothing
  );
}

function summaryOf({ method, lameScope }: Policy, traffic: readonly Advice[]): string {
  const helped = traffic.filter((advice) => advice.method !== BASE);
  if (method !== BASE) {
    const scope = lameScope === 'stream' ? ', LAME for named streams alone' : '';
    return `Switch on ${method}${scope}: it helps some of the traffic that was measured and is not shown to harm any.`;
  }
  if (helped.length === 0)
    return 'Leave it off: no method is shown to help any of the traffic that was measured.';
  const where = helped.map((advice) => `${nameOf(advice)} (${advice.method})`).join(', ');
  return `Leave it off in model.yaml: nothing helps without harm elsewhere. Requests may ask for it where they are like ${where}.`;
}

/** The mean gain in accuracy over the conditions; undefined where nothing was measured. */
function gainOf(cells: readonly Cell[], stream: string, batch: number, method: string): Gain | undefined {
  const gains = cells
    .filter((cell) => cell.stream === stream && cell.batch === batch && cell.method === method)
    .flatMap(({ gain }) => (gain === undefined ? [] : [gain.accuracy]));
  if (gains.length === 0) return undefined;
  const mean = (of: (gain: ReportInterval) => number): number =>
    gains.reduce((sum, gain) => sum + of(gain), 0) / gains.length;
  return {
    value: mean(({ value }) => value ?? 0),
    // A bound that is not known is as far away as it can be.
    low: mean(({ low }) => low ?? -Infinity),
    high: mean(({ high }) => high ?? Infinity),
  };
}

/** What a method gains on shuffled clean traffic, below 0 where it harms; undefined where that was not measured. */
function harmOf(cells: readonly Cell[], batch: number, method: string): number | undefined {
  const clean = cells.filter(({ condition }) => condition === 'clean');
  return gainOf(clean, 'shuffled', batch, method)?.value;
}

function trafficOf(cells: readonly Cell[]): Traffic[] {
  const kinds = new Map(cells.map(({ stream, batch }) => [`${stream} ${batch}`, { stream, batch }] as const));
  return [...kinds.values()];
}

function partsMeasured(methods: readonly string[]): (typeof METHOD_PARTS)[number][] {
  return unique(methods.flatMap((method) => method.split('+'))) as (typeof METHOD_PARTS)[number][];
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function nameOf({ stream, batch }: Traffic): string {
  return batch === 1 ? `${stream} streams` : `${stream} requests of ${batch}`;
}

function told({ value, low, high }: Gain): string {
  return `${signed(value)} points [${signed(low)}, ${signed(high)}]`;
}

function signed(share: number): string {
  return `${share < 0 ? '' : '+'}${points(share)}`;
}

function points(share: number): string {
  return (100 * share).toFixed(1);
}
