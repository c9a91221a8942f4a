import { clock, labelOf } from './answer-text.js';
import { html, svg } from './elements.js';
import { drawFaceless, drawGround, drawPerson, timelineScale } from './timeline-drawing.js';

/**
 * The scores of a video over its time, which can be clicked, dragged and walked with the arrow keys.
 * @param {object} answer - of POST /v1/deepfake to a video
 * @param {(seconds: number) => void} onSeek - told where the user wants to be
 * @returns {{ element: HTMLElement, show: (seconds: number) => void }} `show` moves the line that says where the
 *   video is
 */
export function timeline(answer, onSeek) {
  const { frames, persons, video } = answer;
  const seconds = Math.max(video.seconds, frames.at(-1)?.seconds ?? 0);
  const element = html('div', {
    class: 'timeline',
    role: 'slider',
    tabindex: 0,
    'aria-label': 'Score over time; arrow keys go from one looked-at frame to the next',
    'aria-valuemin': 0,
    'aria-valuemax': seconds,
  });
  const head = svg('line', { class: 'playhead' });
  let scale = timelineScale(600, seconds);
  let now = 0;

  const show = (time) => {
    now = time;
    const x = scale.x(time);
    for (const [name, value] of [
      ['x1', x],
      ['x2', x],
      ['y1', scale.top],
      ['y2', scale.bottom],
    ])
      head.setAttribute(name, value);
    element.setAttribute('aria-valuenow', time.toFixed(2));
    element.setAttribute('aria-valuetext', spoken(nearestFrame(frames, time), time));
  };
  const draw = (width) => {
    scale = timelineScale(width, seconds);
    element.replaceChildren(
      svg(
        'svg',
        { width, height: scale.height, viewBox: `0 0 ${width} ${scale.height}`, 'aria-hidden': 'true' },
        drawGround(scale, seconds, answer),
        drawFaceless(scale, frames),
        ...persons.map((_, person) => drawPerson(scale, frames, person)),
        head,
      ),
    );
    show(now);
  };
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width > 0 && contentRect.width !== scale.width) draw(contentRect.width);
  }).observe(element);
  draw(scale.width);

  listen(element, { timeAt: (x) => scale.time(x), frames, current: () => now, onSeek });
  return { element, show };
}

/** The looked-at frame that is nearest to a time. */
export function nearestFrame(frames, time) {
  const distance = (frame) => Math.abs(frame.seconds - time);
  return frames.reduce(
    (best, frame) => (best === undefined || distance(frame) < distance(best) ? frame : best),
    undefined,
  );
}

function listen(element, { timeAt, frames, current, onSeek }) {
  const seekTo = (event) => {
    onSeek(timeAt(event.clientX - element.getBoundingClientRect().left));
  };
  element.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    seekTo(event);
  });
  element.addEventListener('pointermove', (event) => {
    if (element.hasPointerCapture(event.pointerId)) seekTo(event);
  });
  element.addEventListener('keydown', (event) => {
    const at = frames.indexOf(nearestFrame(frames, current()));
    const targets = {
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      Home: 0,
      End: frames.length - 1,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    if (frames[target] !== undefined) onSeek(frames[target].seconds);
  });
}

function spoken(frame, time) {
  if (frame === undefined) return clock(time);
  const { faces } = frame;
  const said =
    faces.length === 0
      ? 'no face'
      : faces
          .map((face) =>
            face.person === undefined ? labelOf(face) : `person ${face.person + 1} ${labelOf(face)}`,
          )
          .join('; ');
  return `${clock(frame.seconds)}: ${said}`;
}
