import { count, headlineOf, percent, rulesOf } from './answer-text.js';
import { deepfakeModels, judge, Problem } from './ask.js';
import { html } from './elements.js';
import { chosenOptions, offerModels, watchFiles } from './options-form.js';
import { pictureView } from './picture-view.js';
import { scoreBar } from './score-bar.js';
import { videoView } from './video-view.js';

const byId = (id) => document.getElementById(id);

/** The files that were last judged; they can be looked at again with other options. */
let files = [];
/** Addresses of files in memory, given back when the next result is shown. */
let urls = [];
let asking;

watchFiles((chosen) => {
  void look(chosen);
});
byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void look(files);
});
byId('cancel').addEventListener('click', () => {
  asking?.abort();
});
void begin();

async function begin() {
  try {
    const models = await deepfakeModels();
    offerModels(models);
    if (models.length === 0) {
      throw new Problem(
        'No model',
        'This server serves no model of task deepfake, so it cannot judge faces.',
      );
    }
  } catch (error) {
    showProblem(error);
  }
}

async function look(chosen) {
  const video = chosen.some(isVideo);
  showProblem();
  if (video && chosen.length > 1) {
    showProblem(
      new Problem('Too many files', 'One video is judged at a time, or pictures, not both; choose again.'),
    );
    return;
  }
  files = chosen;
  byId('again').disabled = false;
  if (!byId('form').reportValidity()) return;
  asking?.abort();
  const own = new AbortController();
  asking = own;
  showProgress(video, 0);
  byId('again').disabled = true;
  byId('result').hidden = true;
  try {
    const answer = await judge(files, video, chosenOptions(video), {
      signal: own.signal,
      onProgress: (sent) => {
        if (asking === own) showProgress(video, sent);
      },
    });
    if (asking === own) showResult(answer);
  } catch (error) {
    if (asking === own && error.name !== 'AbortError') showProblem(error, files);
  }
  if (asking !== own) return;
  asking = undefined;
  byId('progress').hidden = true;
  byId('again').disabled = false;
}

/** Browsers know the types of few videos by name. */
function isVideo({ name, type }) {
  if (type !== '') return type.startsWith('video/');
  return /\.(3gp|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|webm|wmv)$/i.test(name);
}

function showProgress(video, sent) {
  const meter = byId('meter');
  byId('progress').hidden = false;
  if (sent < 1) {
    meter.value = sent;
    byId('progress-text').textContent = `Sending, ${Math.floor(sent * 100)} %`;
    if (sent === 0) byId('said').textContent = 'Sending';
    return;
  }
  // Nothing tells how far the server is.
  meter.removeAttribute('value');
  const text = video ? 'Looking at the frames of the video…' : 'Looking for faces…';
  byId('progress-text').textContent = text;
  byId('said').textContent = text;
}

/**
 * Says what went wrong in words; nothing, where nothing did.
 * @param {Error} [error]
 * @param {File[]} [sent] - the server knows files by their number, users by their name
 */
function showProblem(error, sent = []) {
  if (error === undefined) {
    byId('problem').replaceChildren();
    return;
  }
  const known = error instanceof Problem;
  byId('said').textContent = '';
  byId('problem').replaceChildren(
    html('h2', {}, known ? error.title : 'The page failed'),
    html(
      'p',
      {},
      error.message.replace(/image\[(\d+)\]/g, (place, index) => sent[index]?.name ?? place),
    ),
  );
}

function showResult(answer) {
  for (const url of urls) URL.revokeObjectURL(url);
  urls = files.map((file) => URL.createObjectURL(file));
  const { media, verdict, score, images } = answer;
  const words = summaryOf(answer);
  const views =
    media === 'video'
      ? [videoView(files[0], urls[0], answer)]
      : images.map((image, index) => pictureView(files[index], urls[index], image));
  byId('result').replaceChildren(
    html('h2', { id: 'headline', class: verdict }, headlineOf(verdict)),
    html('p', {}, words),
    ...(score === null ? [] : [scoreBar(answer, answer), html('p', { class: 'rules' }, rulesOf(answer))]),
    html('div', { class: media === 'video' ? '' : 'pictures' }, ...views),
    detailsOf(answer),
  );
  byId('result').hidden = false;
  byId('said').textContent = `${headlineOf(verdict)}. ${words}`;
  byId('headline').scrollIntoView({ block: 'nearest' });
}

/** The answer in a sentence or two. */
function summaryOf({ media, verdict, score, images, persons, frames }) {
  if (media === 'video') {
    if (verdict === 'no-face') {
      return `In none of the ${count(frames.length, 'frame')} that were looked at is there a face that the detector can see, so nothing is said of the video.`;
    }
    if (persons.length === 1) {
      const { deviation } = persons[0];
      return `Score ${percent(score)}: the mean over ${count(persons[0].frames, 'frame')}, which spread by ± ${percent(deviation)}.`;
    }
    return `Score ${percent(score)}: that of the person who looks most fake of ${persons.length}, a mean over frames.`;
  }
  const faces = images.flatMap((image) => image.faces).length;
  if (verdict === 'no-face') {
    return `In ${images.length === 1 ? 'the picture there is no face' : 'none of the pictures is there a face'} that the detector can see, so nothing is said.`;
  }
  const most = faces > 1 ? `, that of the face that looks most fake of ${faces}` : '';
  if (images.length === 1) return `Score ${percent(score)}${most}.`;
  const tally = ['fake', 'unsure', 'real', 'no-face']
    .map((kind) => [kind, images.filter((image) => image.verdict === kind).length])
    .filter(([, number]) => number > 0)
    .map(([kind, number]) => `${number} ${kind === 'no-face' ? 'without a face' : kind}`);
  return `${count(images.length, 'picture')}: ${tally.join(', ')}. Score ${percent(score)}${most}.`;
}

/** How the answer came about, and the answer itself. */
function detailsOf(answer) {
  const { model, version, timings_ms: took, smoothing } = answer;
  const reports = [...(answer.images ?? []), ...(answer.persons ?? [])].filter(
    ({ lame }) => lame !== undefined,
  );
  const changed = reports.reduce((sum, { lame }) => sum + lame.changed, 0);
  const facts = [
    `Model ${model}, version ${version}.`,
    `Took ${Math.round(took.total)} ms: decoding ${Math.round(took.decode)}, finding faces ${Math.round(took.detect)}, aligning ${Math.round(took.align)}, classifying ${Math.round(took.classify)}.`,
    ...(reports.length > 0 ? [`LAME changed the verdict of ${count(changed, 'face')}.`] : []),
    ...(smoothing === undefined ? [] : [`Mixed with a robust classifier (${smoothing.mode}).`]),
  ];
  return html(
    'details',
    {},
    html('summary', {}, 'Details'),
    html('p', {}, facts.join(' ')),
    html('pre', { tabindex: 0 }, JSON.stringify(answer, undefined, 1)),
  );
}
