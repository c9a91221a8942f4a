const HEADLINES = {
  fake: 'Looks fake',
  unsure: 'Unsure',
  real: 'Looks real',
  'no-face': 'No face found',
};

/** A verdict as a headline. */
export function headlineOf(verdict) {
  return HEADLINES[verdict];
}

/** A verdict as a word in a sentence. */
export function wordOf(verdict) {
  return verdict === 'no-face' ? 'no face' : verdict;
}

/** A probability in [0, 1] as a percentage; never a round 0 or 100, which no model can be sure of. */
export function percent(probability) {
  if (probability < 0.005) return 'under 1 %';
  if (probability > 0.995) return 'over 99 %';
  return `${Math.round(probability * 100)} %`;
}

/** A threshold, or a deviation, in percent with one decimal where it has one. */
export function exactPercent(value) {
  return `${Number((value * 100).toFixed(1))} %`;
}

/** What is said of a face; its number is the score whatever the verdict: `real, score 12 %`. */
export function labelOf({ verdict, score }) {
  return `${wordOf(verdict)}, score ${percent(score)}`;
}

/** Seconds as minutes and seconds: `1:05.3`. */
export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, '0')}`;
}

/** Whole seconds as minutes and seconds: `1:05`. */
export function shortClock(seconds) {
  return clock(Math.round(seconds)).replace(/\.0$/, '');
}

/** `1 face`, `2 faces`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** What the score means, in a sentence. */
export function rulesOf({ threshold, unsure }) {
  if (unsure === null) return `From ${exactPercent(threshold)} on a score means fake, below it real.`;
  const [low, high] = unsure.map(exactPercent);
  return `Below ${low} a score means real, from ${high} on fake, and between them unsure. The threshold is ${exactPercent(threshold)}.`;
}
