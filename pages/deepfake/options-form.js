import { html } from './elements.js';

const byId = (id) => document.getElementById(id);

/**
 * Offers the models, where there is a choice.
 * @param {string[]} names
 */
export function offerModels(names) {
  byId('model').replaceChildren(...names.map((name) => html('option', { value: name }, name)));
  byId('model-row').hidden = names.length < 2;
}

/**
 * The options as the query of a request.
 * @param {boolean} video - whether a video is sent; frames are of no use to pictures
 * @returns {URLSearchParams}
 */
export function chosenOptions(video) {
  const options = new URLSearchParams({ faces: byId('faces').value });
  if (byId('model').value !== '') options.set('model', byId('model').value);
  if (byId('lame').value !== '') options.set('lame', byId('lame').value);
  if (video) options.set('frames', byId('frames').value);
  return options;
}

/**
 * Hands over files that are chosen or dropped.
 * @param {(files: File[]) => void} onFiles
 */
export function watchFiles(onFiles) {
  const [input, drop] = [byId('files'), byId('drop')];
  input.addEventListener('change', () => {
    const files = [...input.files];
    // The same file may be chosen again.
    input.value = '';
    if (files.length > 0) onFiles(files);
  });
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    drop.classList.toggle('over', depth > 0);
  };
  const takesFiles = (event) => event.dataTransfer?.types.includes('Files') === true;
  // Anywhere on the page: a file that misses the zone would replace the page.
  document.addEventListener('dragenter', (event) => {
    if (takesFiles(event)) mark(1);
  });
  document.addEventListener('dragleave', (event) => {
    if (takesFiles(event)) mark(-1);
  });
  document.addEventListener('dragover', (event) => {
    if (takesFiles(event)) event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    if (!takesFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    const files = [...event.dataTransfer.files];
    if (files.length > 0) onFiles(files);
  });
}
