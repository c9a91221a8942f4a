import { clock, exactPercent, shortClock } from './answer-text.js';
import { svg } from './elements.js';

const [LEFT, RIGHT, TOP, BOTTOM] = [44, 12, 18, 40];
const HEIGHT = 220;

/** How many persons look different from each other; later ones begin anew. */
export const LOOKS = 6;

/**
 * Where things lie in a timeline.
 * @param {number} width - in CSS pixels
 * @param {number} seconds - of the video
 */
export function timelineScale(width, seconds) {
  const across = Math.max(1, width - LEFT - RIGHT);
  const length = Math.max(seconds, 0.001);
  return {
    ...{ width, height: HEIGHT, left: LEFT, right: width - RIGHT, top: TOP, bottom: HEIGHT - BOTTOM },
    x: (time) => LEFT + (Math.min(time, length) / length) * across,
    y: (score) => HEIGHT - BOTTOM - score * (HEIGHT - BOTTOM - TOP),
    time: (x) => Math.min(length, Math.max(0, ((x - LEFT) / across) * length)),
  };
}

/** The axes, the unsure band and the threshold. */
export function drawGround(scale, seconds, { threshold, unsure }) {
  const { x, y, left, right, bottom } = scale;
  const line = (kind, x1, y1, x2, y2) => svg('line', { class: kind, x1, y1, x2, y2 });
  const text = (kind, atX, atY, words) => svg('text', { class: kind, x: atX, y: atY }, words);
  const parts = [0, 0.5, 1].flatMap((score) => [
    line('grid', left, y(score), right, y(score)),
    text('score-label', left - 6, y(score) + 4, `${score * 100} %`),
  ]);
  if (unsure !== null) {
    const [low, high] = unsure;
    parts.push(
      svg('rect', {
        class: 'band',
        x: left,
        y: y(high),
        width: right - left,
        height: y(low) - y(high),
      }),
      text('band-label', right - 4, y(high) + 13, 'unsure'),
    );
  }
  const beneath = threshold > 0.9;
  parts.push(
    line('threshold-line', left, y(threshold), right, y(threshold)),
    text(
      'threshold-label',
      left + 6,
      y(threshold) + (beneath ? 14 : -5),
      `threshold ${exactPercent(threshold)}`,
    ),
  );
  const step = tickStep(seconds, (right - left) / 70);
  for (let time = 0; time <= seconds + step / 1000; time += step) {
    parts.push(
      line('tick', x(time), bottom, x(time), bottom + 5),
      text(
        'time-label',
        Math.min(x(time), right - 8),
        bottom + 32,
        step < 1 ? clock(time) : shortClock(time),
      ),
    );
  }
  return svg('g', { class: 'ground' }, ...parts);
}

/** Steps of 1, 2 or 5 times a power of ten, or of whole quarter minutes, so that at most `most` ticks are needed. */
function tickStep(seconds, most) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  return steps.find((step) => seconds / step <= most) ?? seconds;
}

/** One person's scores: a line through the frames that have its face, broken where others lie between. */
export function drawPerson(scale, frames, person) {
  const look = person % LOOKS;
  const strokes = [];
  let open = false;
  const marks = [];
  for (const { seconds, faces } of frames) {
    const face = faces.find((one) => one.person === person);
    if (face === undefined) {
      open = false;
      continue;
    }
    const [atX, atY] = [scale.x(seconds), scale.y(face.score)];
    strokes.push(`${open ? 'L' : 'M'}${atX.toFixed(1)} ${atY.toFixed(1)}`);
    open = true;
    marks.push(svg('path', { class: 'mark', d: markPath(look, atX, atY) }));
  }
  const line = svg('path', { class: 'line', d: strokes.join('') });
  return svg('g', { class: `person look-${look}` }, line, ...marks);
}

/** Persons differ by the shape of their marks as well as by colour: circle, square, triangle, diamond, and so on. */
export function markPath(look, x, y, size = 4) {
  const polygon = (...points) =>
    `M${points.map(([dx, dy]) => `${(x + dx * size).toFixed(1)} ${(y + dy * size).toFixed(1)}`).join('L')}Z`;
  switch (look) {
    case 1:
      return polygon([-1, -1], [1, -1], [1, 1], [-1, 1]);
    case 2:
      return polygon([0, -1.2], [1.2, 1], [-1.2, 1]);
    case 3:
      return polygon([0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]);
    case 4:
      return polygon([0, 1.2], [1.2, -1], [-1.2, -1]);
    case 5:
      return polygon([-1.4, -0.6], [1.4, -0.6], [1.4, 0.6], [-1.4, 0.6]);
    default:
      return `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0Z`;
  }
}

/** Crosses under the axis: frames that were looked at and have no face. */
export function drawFaceless(scale, frames) {
  const crosses = frames
    .filter(({ faces }) => faces.length === 0)
    .map(({ seconds }) => {
      const [x, y] = [scale.x(seconds), scale.bottom + 12];
      return svg('path', { class: 'faceless', d: `M${x - 3} ${y - 3}l6 6m0-6l-6 6` });
    });
  return svg('g', {}, ...crosses);
}
