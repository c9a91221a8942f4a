import type { JudgedFace, JudgeTimings, PicturesJudged, VideoJudged } from '../pipeline/deepfake-result.js';
import type { DeepfakeModel, ServedModel } from '../pipeline/serving.js';
import type { DeepfakeResponse } from './deepfake-schemas.js';

/** What every answer begins with. */
function about({ name, version }: ServedModel, { rules }: DeepfakeModel) {
  const { threshold, unsure } = rules;
  return {
    model: name,
    version,
    threshold,
    unsure: unsure === undefined ? null : ([unsure[0], unsure[1]] as [number, number]),
  };
}

/** The answer to pictures. */
export function picturesAnswer(
  model: ServedModel,
  deepfake: DeepfakeModel,
  { pictures, score, verdict, smoothing, timings }: PicturesJudged,
): DeepfakeResponse {
  return {
    ...about(model, deepfake),
    media: 'image',
    verdict,
    score: probability(score),
    images: pictures.map(({ width, height, faces, lame, ...picture }) => ({
      ...{ width, height },
      verdict: picture.verdict,
      score: probability(picture.score),
      faces: faces.map(faceAnswer),
      lame,
    })),
    ...smoothingAnswer(smoothing),
    timings_ms: timingsAnswer(timings),
  };
}

/** The answer to a video. */
export function videoAnswer(
  model: ServedModel,
  deepfake: DeepfakeModel,
  { video, smoothing, timings }: VideoJudged,
): DeepfakeResponse {
  const { info, frames, missing, persons, score, verdict } = video;
  return {
    ...about(model, deepfake),
    media: 'video',
    verdict,
    score: probability(score),
    video: {
      seconds: rounded(info.seconds, 3),
      frames: info.frames,
      frames_per_second: rounded(info.framesPerSecond, 3),
      ...{ width: info.width, height: info.height, codec: info.codec, missing },
    },
    persons: persons.map(({ mean, deviation, least, greatest, ...person }) => ({
      score: rounded(mean),
      deviation: rounded(deviation),
      least: rounded(least),
      greatest: rounded(greatest),
      ...person,
    })),
    frames: frames.map(({ index, seconds, faces, score: ofFrame }) => ({
      index,
      seconds: rounded(seconds, 3),
      score: probability(ofFrame),
      faces: faces.map(faceAnswer),
    })),
    ...smoothingAnswer(smoothing),
    timings_ms: timingsAnswer(timings),
  };
}

function faceAnswer({ place, score, base, verdict, alpha, person }: JudgedFace) {
  return {
    ...(place && {
      box: {
        x: rounded(place.box.x, 1),
        y: rounded(place.box.y, 1),
        width: rounded(place.box.width, 1),
        height: rounded(place.box.height, 1),
      },
      landmarks: place.landmarks.map(({ x, y }): [number, number] => [rounded(x, 1), rounded(y, 1)]),
      detection: rounded(place.detection, 4),
    }),
    ...{ score: rounded(score), base: rounded(base), verdict },
    ...(alpha !== undefined && { alpha: rounded(alpha) }),
    ...(person !== undefined && { person }),
  };
}

function smoothingAnswer(smoothing: PicturesJudged['smoothing']): Pick<DeepfakeResponse, 'smoothing'> {
  if (smoothing === undefined) return {};
  const [least, greatest] = smoothing.alpha;
  return { smoothing: { mode: smoothing.mode, alpha: [rounded(least), rounded(greatest)] } };
}

function timingsAnswer(timings: JudgeTimings): JudgeTimings {
  const { decode, detect, align, classify, total } = timings;
  return {
    decode: rounded(decode, 2),
    detect: rounded(detect, 2),
    align: rounded(align, 2),
    classify: rounded(classify, 2),
    total: rounded(total, 2),
  };
}

function probability(score: number | undefined): number | null {
  return score === undefined ? null : rounded(score);
}

/** Seven decimals are what a float32 knows. */
function rounded(value: number, decimals = 7): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor;
}
