import { setImmediate as nextTurn } from 'node:timers/promises';
import { alignment } from '../deepfake/align.js';
import { scaledFace, type Face } from '../deepfake/face.js';
import { tracksOf } from '../deepfake/tracks.js';
import { gravest, spreadOf, verdictOf, type VerdictRules } from '../deepfake/verdict.js';
import { videoFrames, type VideoFramesRead } from '../deepfake/video-frames.js';
import type { VideoLimits } from '../deepfake/video-limits.js';
import { probeVideo } from '../deepfake/video-probe.js';
import { warp } from '../deepfake/warp.js';
import { BallastError } from '../errors.js';
import { ImageDecoder } from '../runtime/image.js';
import { Lanes } from '../runtime/lanes.js';
import { decodePicture, type RgbPicture } from '../runtime/rgb-picture.js';
import type { TensorMap } from '../runtime/tensor.js';
import type { BatchResult, RequestOptions } from './batch.js';
import type { DeepfakeFit } from './deepfake-fit.js';
import type {
  JudgedFace,
  JudgedFrame,
  JudgedPerson,
  JudgedPicture,
  JudgeOptions,
  JudgeTimings,
  PicturesJudged,
  VideoJudged,
} from './deepfake-result.js';
import type { FaceFinder } from './face-finder.js';
import type { EncodedInputs } from './serving.js';

/** Pictures are looked at with at most so many pixels on the longer side. */
const MAX_SIDE = 1600;
/** Pictures of one request under way at once. */
const PICTURES_AT_ONCE = 2;
/** A person of a video is judged where it was seen in so many frames, or in as many as anyone was. */
const LEAST_SIGHTINGS = 3;

/** A model that tells real faces from fake ones, and what goes around it. */
export interface JudgeParts extends DeepfakeFit {
  /** Names the model in errors. */
  readonly name: string;
  readonly rules: VerdictRules;
  /** What finds faces, and how they are cropped; undefined for a model that takes crops alone. */
  readonly faces: { readonly finder: FaceFinder; readonly scale: number } | undefined;
  predict(files: EncodedInputs, options: RequestOptions): Promise<BatchResult>;
  infer(inputs: TensorMap, options: RequestOptions): Promise<BatchResult>;
}

/** An aligned face, RGB bytes `[size, size, 3]`. */
interface Crop {
  readonly face: Face;
  readonly pixels: Uint8Array;
}

/** Finds the faces of pictures and videos, aligns them and has the model judge each. */
export class FaceJudge {
  private readonly decoder: ImageDecoder;

  constructor(private readonly parts: JudgeParts) {
    this.decoder = new ImageDecoder(parts.input[1]);
  }

  get rules(): VerdictRules {
    return this.parts.rules;
  }

  /**
   * Judges pictures, each by itself: LAME, which would let one person's picture move another's, is off unless the
   * request asks for it or names a stream.
   * @param files - encoded pictures, at least one
   * @throws BallastError as ImageDecoder.decode, naming the file; as ServedModel.predict
   */
  async judgePictures(files: readonly Uint8Array[], options: JudgeOptions): Promise<PicturesJudged> {
    const clock = new Clock();
    const results: BatchResult[] = [];
    const pictures =
      options.faces === 'crop'
        ? await this.judgeCrops(files, options, clock, results)
        : await this.judgeWhole(files, options, clock, results);
    return {
      pictures,
      score: greatest(pictures.map(({ score }) => score)),
      verdict: gravest(pictures.map(({ verdict }) => verdict)),
      smoothing: results.at(0)?.smoothing,
      timings: clock.read(),
    };
  }

  /**
   * Judges a video by frames spread over its length: the faces of each are followed from frame to frame, and every
   * person's frames are one batch, which LAME may adapt as model.yaml says.
   * @param path - a file of this server's own naming
   * @throws BallastError as probeVideo and videoFrames; as ServedModel.infer
   */
  async judgeVideo(path: string, limits: VideoLimits, options: JudgeOptions): Promise<VideoJudged> {
    if (options.faces === 'crop') {
      throw new BallastError(
        'impossible',
        'faces=crop is for pictures; the faces of a video are found in it. Send its aligned faces as pictures, or leave faces=crop out.',
      );
    }
    const clock = new Clock();
    const { signal } = options;
    const info = await clock.time('decode', probeVideo(path, limits, signal));
    const frames = videoFrames(path, info, { count: options.frames }, limits, signal);
    const seen: { index: number; seconds: number; scale: number; crops: Crop[] }[] = [];
    // While the faces of one frame are found, ffmpeg decodes the next.
    let read: VideoFramesRead | undefined;
    while (read === undefined) {
      const step = await clock.time('decode', frames.next());
      if (step.done === true) read = step.value;
      else {
        const { index, seconds, width } = step.value;
        try {
          const crops = await this.cropsOf(step.value, clock);
          seen.push({ index, seconds, scale: info.width / width, crops });
        } catch (error) {
          await frames.return({ missing: 0 });
          throw error;
        }
      }
    }
    const tracks = tracksOf(seen.map(({ crops }) => crops.map(({ face }) => face.box)));
    const most = Math.max(0, ...tracks.map(({ length }) => length));
    const judged = seen.map(({ crops }): (JudgedFace | undefined)[] => crops.map(() => undefined));
    const persons: JudgedPerson[] = [];
    let smoothing: BatchResult['smoothing'];
    for (const track of tracks.filter(({ length }) => length >= Math.min(LEAST_SIGHTINGS, most))) {
      const crops = track.map(({ frame, face }) => seen[frame].crops[face]);
      const result = await this.classify(crops, options, clock);
      smoothing ??= result.smoothing;
      const faces = crops.map(({ face }, row) => {
        const { scale } = seen[track[row].frame];
        return this.faceOf(result, row, scaledFace(face, scale, scale), persons.length);
      });
      track.forEach(({ frame, face }, i) => (judged[frame][face] = faces[i]));
      const spread = spreadOf(faces.map(({ score }) => score));
      persons.push({
        ...spread,
        frames: track.length,
        verdict: verdictOf(spread.mean, this.rules),
        lame: result.lame,
      });
    }
    const worst = persons.reduce<JudgedPerson | undefined>(
      (one, other) => (one === undefined || other.mean > one.mean ? other : one),
      undefined,
    );
    const timeline = seen.map(({ index, seconds }, i): JudgedFrame => {
      const faces = judged[i].filter((face) => face !== undefined);
      return { index, seconds, faces, score: greatest(faces.map(({ score }) => score)) };
    });
    return {
      video: {
        ...{ info, frames: timeline, missing: read.missing, persons },
        score: worst?.mean,
        spread: worst,
        verdict: worst?.verdict ?? 'no-face',
      },
      smoothing,
      timings: clock.read(),
    };
  }

  private async judgeWhole(
    files: readonly Uint8Array[],
    options: JudgeOptions,
    clock: Clock,
    results: BatchResult[],
  ): Promise<JudgedPicture[]> {
    // What a stream learns depends on the order, so its pictures come one after another.
    const lanes = new Lanes(options.stream === undefined ? PICTURES_AT_ONCE : 1);
    return Promise.all(
      files.map((bytes, i) =>
        lanes.run(async (): Promise<JudgedPicture> => {
          options.signal?.throwIfAborted();
          const picture = await clock.time('decode', decodePicture(bytes, MAX_SIDE, `image[${i}]`));
          const crops = await this.cropsOf(picture, clock);
          const { fullWidth: width, fullHeight: height } = picture;
          if (crops.length === 0) {
            return { width, height, faces: [], score: undefined, verdict: 'no-face', lame: undefined };
          }
          const lame = options.lame ?? options.stream !== undefined;
          const result = await this.classify(crops, { ...options, lame }, clock);
          results.push(result);
          const scale = width / picture.width;
          const faces = crops.map(({ face }, row) =>
            this.faceOf(result, row, scaledFace(face, scale, scale)),
          );
          return { width, height, ...this.pictureOf(faces), lame: result.lame };
        }),
      ),
    );
  }

  private async judgeCrops(
    files: readonly Uint8Array[],
    options: JudgeOptions,
    clock: Clock,
    results: BatchResult[],
  ): Promise<JudgedPicture[]> {
    const [name] = this.parts.input;
    const lame = options.lame ?? options.stream !== undefined;
    const result = await clock.time('classify', this.parts.predict({ [name]: files }, { ...options, lame }));
    results.push(result);
    return files.map((_, row) => ({
      ...{ width: undefined, height: undefined },
      ...this.pictureOf([this.faceOf(result, row, undefined)]),
      lame: result.lame,
    }));
  }

  private async cropsOf(picture: RgbPicture, clock: Clock): Promise<Crop[]> {
    if (this.parts.faces === undefined) {
      throw new BallastError(
        'impossible',
        `Model "${this.parts.name}" has no face detector; send aligned faces with faces=crop, or name one as faces.detector in its model.yaml.`,
      );
    }
    const { finder, scale } = this.parts.faces;
    const faces = await clock.time('detect', finder.find(picture));
    const { width: size } = this.parts.input[1];
    const crops: Crop[] = [];
    for (const face of faces) {
      const begin = performance.now();
      crops.push({ face, pixels: warp(picture, alignment(face.landmarks, { size, scale }), size) });
      clock.add('align', performance.now() - begin);
      await nextTurn();
    }
    return crops;
  }

  private async classify(
    crops: readonly Crop[],
    options: RequestOptions,
    clock: Clock,
  ): Promise<BatchResult> {
    const { sampleSize, sampleShape } = this.decoder;
    const data = new Float32Array(crops.length * sampleSize);
    for (const [i, { pixels }] of crops.entries()) {
      this.decoder.write(pixels, 3, data, i * sampleSize);
      await nextTurn();
    }
    const { tensor } = this.parts.input[1];
    const inputs = { [tensor]: { type: 'float32', dims: [crops.length, ...sampleShape], data } } as const;
    return clock.time('classify', this.parts.infer(inputs, options));
  }

  private faceOf(result: BatchResult, row: number, face: Face | undefined, person?: number): JudgedFace {
    const { probabilities, base, alpha } = result;
    const { fake, rules } = this.parts;
    const score = probabilities!.data[row * probabilities!.cols + fake];
    return {
      place: face && { box: face.box, landmarks: face.landmarks, detection: face.score },
      score,
      base: base!.data[row * base!.cols + fake],
      verdict: verdictOf(score, rules),
      alpha: alpha?.[row],
      person,
    };
  }

  private pictureOf(faces: readonly JudgedFace[]): Pick<JudgedPicture, 'faces' | 'score' | 'verdict'> {
    return {
      faces,
      score: greatest(faces.map(({ score }) => score)),
      verdict: gravest(faces.map(({ verdict }) => verdict)),
    };
  }
}

type Part = Exclude<keyof JudgeTimings, 'total'>;

/** Adds up what the parts of a request take; parts that run side by side are counted each. */
class Clock {
  private readonly begin = performance.now();
  private readonly parts: Record<Part, number> = { decode: 0, detect: 0, align: 0, classify: 0 };

  add(part: Part, milliseconds: number): void {
    this.parts[part] += milliseconds;
  }

  async time<T>(part: Part, work: Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await work;
    } finally {
      this.add(part, performance.now() - begin);
    }
  }

  read(): JudgeTimings {
    return { ...this.parts, total: performance.now() - this.begin };
  }
}

function greatest(scores: readonly (number | undefined)[]): number | undefined {
  const known = scores.filter((score) => score !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
