import { percent, wordOf } from './answer-text.js';
import { html, lay } from './elements.js';

/**
 * Draws faces over a picture: a box in the colour of the verdict, its word and score, and the landmarks.
 * @param {HTMLElement} layer - lies over the whole picture
 * @param {object[]} faces - as the server tells them; a crop has no box and is framed whole
 * @param {{ width: number, height: number, named?: (index: number) => string, exact?: boolean }} picture - in
 *   pixels; `exact` is false where the boxes are of another frame than the one that is shown
 */
export function drawFaces(layer, faces, { width, height, named = () => '', exact = true }) {
  layer.classList.toggle('elsewhere', !exact);
  layer.replaceChildren(
    ...faces.flatMap((face, index) => {
      const { x, y, width: wide, height: high } = face.box ?? { x: 0, y: 0, width, height };
      const box = lay(html('div', { class: `box ${face.verdict}` }, tag(face, index, named)), {
        left: x / width,
        top: y / height,
        width: wide / width,
        height: high / height,
      });
      // A label keeps within the picture: inside the box at the top edge, to the left of its right side at the right.
      box.classList.toggle('inside', y / height < 0.08);
      box.classList.toggle('leftward', (x + wide / 2) / width > 0.6);
      const dots = (face.landmarks ?? []).map(([dotX, dotY]) =>
        lay(html('i', { class: 'dot' }), { left: dotX / width, top: dotY / height }),
      );
      return [box, ...dots];
    }),
  );
}

function tag(face, index, named) {
  const name = named(face, index);
  // The word that small pictures have no room for.
  const score = html('span', { class: 'spare' }, 'score ');
  const start = name === '' ? '' : `${name}: `;
  return html('span', { class: 'tag' }, `${start}${wordOf(face.verdict)}, `, score, percent(face.score));
}
