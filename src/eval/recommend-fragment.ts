import { stringify } from 'yaml';
import type { MethodPart } from './method.js';

/**
 * What to put into model.yaml for a method: every part that was measured is switched on or off; keys that are not named
 * stay as they are.
 * @param method - such as `lame+smoothing`, or `base`
 * @param lameScope - where LAME is on: for requests and streams, or for streams alone
 * @param measured - the parts that were measured
 * @returns YAML; empty where nothing but the base model was measured
 */
export function fragmentOf(
  method: string,
  lameScope: 'request' | 'stream' | undefined,
  measured: readonly MethodPart[],
): string {
  const parts = method.split('+');
  const auto = parts.includes('lame-auto');
  const fragment: Record<string, Record<string, string>> = {};
  if (measured.includes('lame') || measured.includes('lame-auto')) {
    const on = auto || parts.includes('lame');
    fragment['lame'] = { scope: on ? (lameScope ?? 'request') : 'off', ...(auto && { window: 'auto' }) };
  }
  if (measured.includes('smoothing')) {
    fragment['smoothing'] = { default: parts.includes('smoothing') ? 'on' : 'off' };
  }
  if (measured.includes('prompt')) {
    fragment['prompt'] = { version: parts.includes('prompt') ? 'latest' : 'off' };
  }
  return Object.keys(fragment).length === 0 ? '' : stringify(fragment);
}
