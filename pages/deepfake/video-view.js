import { clock, count, exactPercent, headlineOf, percent } from './answer-text.js';
import { html, svg } from './elements.js';
import { drawFaces } from './face-boxes.js';
import { nearestFrame, timeline } from './timeline.js';
import { LOOKS, markPath } from './timeline-drawing.js';

/**
 * A video that plays with the faces of the nearest looked-at frame over it, its timeline, and its persons.
 * @param {File} file
 * @param {string} url - of the file, for the browser
 * @param {object} answer - of POST /v1/deepfake
 * @returns {HTMLElement}
 */
export function videoView(file, url, answer) {
  const { frames, persons, video } = answer;
  const player = html('video', { src: url, controls: true, playsinline: true, preload: 'auto' });
  player.muted = true;
  const layer = html('div', { class: 'layer', 'aria-hidden': 'true' });
  const stage = html('div', { class: 'stage' }, player, layer);
  const where = html('p', { class: 'where' });
  // Where the browser cannot play the video, its timeline and boxes still say what was found where.
  let playable = true;
  let drawn;

  const show = (time) => {
    line.show(time);
    // The player still shows the frame that it leaves, so that one's boxes stay.
    if (playable && player.seeking) return;
    const frame = nearestFrame(frames, time);
    if (frame === undefined) return;
    const exact = Math.abs(frame.seconds - time) < 0.75 / Math.max(video.frames_per_second, 1);
    const state = `${frame.index} ${exact}`;
    if (state === drawn) return;
    drawn = state;
    const named = ({ person }) => (persons.length > 1 && person !== undefined ? String(person + 1) : '');
    drawFaces(layer, frame.faces, { width: video.width, height: video.height, named, exact });
    const at = `the frame at ${clock(frame.seconds)}${exact ? '' : ', the nearest that was looked at'}`;
    where.textContent =
      frame.faces.length === 0 ? `No face was found in ${at}.` : `The boxes are those of ${at}.`;
  };
  const line = timeline(answer, (time) => {
    if (playable) player.currentTime = time;
    show(time);
  });
  const follow = () => {
    show(player.currentTime);
    if (!player.paused && player.isConnected) requestAnimationFrame(follow);
  };
  for (const event of ['play', 'seeked', 'timeupdate', 'loadeddata']) {
    player.addEventListener(
      event,
      event === 'play'
        ? follow
        : () => {
            show(player.currentTime);
          },
    );
  }
  player.addEventListener('error', () => {
    playable = false;
    stage.style.aspectRatio = `${video.width} / ${video.height}`;
    stage.classList.add('blank');
    player.replaceWith(
      html('p', {}, 'This browser cannot play this video; the boxes lie where the faces are.'),
    );
  });
  show(0);
  return html(
    'div',
    { class: 'video' },
    stage,
    where,
    html('h3', {}, 'Score over time'),
    line.element,
    html('p', { class: 'where' }, lookedAt(file, answer)),
    ...(persons.length > 0 ? [personTable(persons)] : []),
  );
}

function lookedAt({ name }, { frames, persons, video }) {
  const faceless = frames.filter(({ faces }) => faces.length === 0).length;
  return [
    `${name}: ${clock(video.seconds)} long, ${video.width} × ${video.height}, ${video.codec}.`,
    `${count(frames.length, 'frame')} of ${video.frames} looked at.`,
    ...(faceless > 0 ? [`${count(faceless, 'frame')} without a face, marked × under the line.`] : []),
    ...(video.missing > 0 ? [`${count(video.missing, 'frame')} could not be decoded.`] : []),
    ...(persons.length > 0 ? ['Spread is the standard deviation of the score over the frames.'] : []),
  ].join(' ');
}

/** Mean and spread of each person over the frames. */
function personTable(persons) {
  const head = ['Person', 'Verdict', 'Mean', 'Spread', 'Least to greatest', 'Frames'];
  const rows = persons.map(({ verdict, score, deviation, least, greatest, frames }, index) => {
    const look = index % LOOKS;
    const key = svg(
      'svg',
      { class: `key look-${look}`, width: 14, height: 14, 'aria-hidden': 'true' },
      svg('path', { class: 'mark', d: markPath(look, 7, 7) }),
    );
    const cells = [
      percent(score),
      `± ${exactPercent(deviation)}`,
      `${percent(least)} to ${percent(greatest)}`,
      frames,
    ];
    return html(
      'tr',
      {},
      html('td', {}, key, ` ${index + 1}`),
      html('td', {}, html('strong', { class: `badge ${verdict}` }, headlineOf(verdict))),
      ...cells.map((cell) => html('td', {}, String(cell))),
    );
  });
  return html(
    'div',
    { class: 'scroll' },
    html(
      'table',
      {},
      html('thead', {}, html('tr', {}, ...head.map((words) => html('th', { scope: 'col' }, words)))),
      html('tbody', {}, ...rows),
    ),
  );
}
