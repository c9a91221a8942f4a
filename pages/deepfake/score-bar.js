import { exactPercent, percent, wordOf } from './answer-text.js';
import { html, lay } from './elements.js';

/**
 * A score on a bar from 0 to 100 % with the zones of the verdicts and the threshold.
 * @param {{ score: number, verdict: string }} judged
 * @param {{ threshold: number, unsure: [number, number] | null }} rules
 * @returns {HTMLElement}
 */
export function scoreBar({ score, verdict }, { threshold, unsure }) {
  const [low, high] = unsure ?? [threshold, threshold];
  const zone = (name, from, to) =>
    lay(html('span', { class: `zone ${name}` }, to - from > 0.12 ? name : ''), {
      left: from,
      width: to - from,
    });
  return html(
    'div',
    {
      class: 'bar',
      role: 'img',
      'aria-label': `Score ${percent(score)} of 100, ${wordOf(verdict)}; threshold ${exactPercent(threshold)}`,
    },
    html(
      'div',
      { class: 'scale' },
      lay(html('strong', {}, `score ${percent(score)}`), { left: Math.min(0.9, Math.max(0.1, score)) }),
    ),
    html(
      'div',
      { class: 'track' },
      zone('real', 0, low),
      ...(high > low ? [zone('unsure', low, high)] : []),
      zone('fake', high, 1),
      lay(html('span', { class: 'threshold' }), { left: threshold }),
      lay(html('span', { class: 'marker' }), { left: score }),
    ),
    html(
      'div',
      { class: 'scale ends' },
      lay(html('span', {}, '0 %'), { left: 0 }),
      lay(html('span', {}, `threshold ${exactPercent(threshold)}`), {
        left: Math.min(0.85, Math.max(0.15, threshold)),
      }),
      lay(html('span', {}, '100 %'), { left: 1 }),
    ),
  );
}
