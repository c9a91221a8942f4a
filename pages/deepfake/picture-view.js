import { count, headlineOf, percent, wordOf } from './answer-text.js';
import { html } from './elements.js';
import { drawFaces } from './face-boxes.js';

/**
 * A picture with its faces boxed, and what was said of each.
 * @param {File} file
 * @param {string} url - of the file, for the browser
 * @param {object} image - what the server said of it
 * @returns {HTMLElement}
 */
export function pictureView(file, url, image) {
  const { faces, verdict } = image;
  const alt = `${file.name}: ${faces.length === 0 ? 'no face found' : count(faces.length, 'face')}`;
  const shown = html('img', { src: url, alt });
  const layer = html('div', { class: 'layer', 'aria-hidden': 'true' });
  const stage = html('div', { class: 'stage' }, shown, layer);
  const named = (_face, index) => (faces.length > 1 ? String(index + 1) : '');
  // Crops have neither size nor boxes: they are framed whole.
  const { width = 1, height = 1 } = image;
  drawFaces(layer, faces, { width, height, named });
  shown.addEventListener('error', () => {
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.classList.add('blank');
    shown.replaceWith(
      html('p', {}, `This browser cannot show ${file.name}; the boxes lie where the faces are.`),
    );
  });
  return html(
    'figure',
    { class: 'picture' },
    stage,
    html(
      'figcaption',
      {},
      html('strong', { class: `badge ${verdict}` }, headlineOf(verdict)),
      html('span', { class: 'name' }, file.name),
      verdict === 'no-face' ? html('p', {}, NO_FACE) : faceTable(faces),
    ),
  );
}

const NO_FACE =
  'There is no face in it that the detector can see, so nothing is said of it. A face that is larger, sharper or seen from the front may be found.';

/** What was said of each face, for those who cannot see the boxes, and to the digit. */
function faceTable(faces) {
  const mixed = faces.some(({ alpha }) => alpha !== undefined);
  const found = faces.some(({ detection }) => detection !== undefined);
  const row = (cell, values) => html('tr', {}, ...values.map((value) => html(cell, {}, value)));
  const head = row('th', [
    ...['Face', 'Verdict', 'Score', 'Model alone'],
    ...(mixed ? ['Robust part'] : []),
    ...(found ? ['Detector'] : []),
  ]);
  const rows = faces.map(({ verdict, score, base, alpha, detection }, index) =>
    row('td', [
      ...[String(index + 1), wordOf(verdict), percent(score), percent(base)],
      ...(mixed ? [alpha === undefined ? '' : percent(alpha)] : []),
      ...(found ? [detection === undefined ? '' : percent(detection)] : []),
    ]),
  );
  return html(
    'div',
    { class: 'scroll' },
    html('table', {}, html('thead', {}, head), html('tbody', {}, ...rows)),
  );
}
