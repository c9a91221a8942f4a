import { decodeFaces, detectorLayout, type DetectorLayout } from '../deepfake/detector-layout.js';
import { scaledFace, type Face } from '../deepfake/face.js';
import { withoutNested } from '../deepfake/nested-faces.js';
import { suppress } from '../deepfake/non-maximum-suppression.js';
import { BallastError } from '../errors.js';
import { InferenceWorkers } from '../runtime/inference-workers.js';
import type { ProviderChoice } from '../runtime/providers.js';
import { resized, type RgbPicture } from '../runtime/rgb-picture.js';
import type { Tensor } from '../runtime/tensor.js';
import type { ThreadPlan } from '../runtime/thread-plan.js';
import type { FacesConfig } from './deepfake-config.js';

/** Sides of a detector's input are multiples of its largest stride. */
const STRIDE = 32;

/** Faces of a picture that are looked into, before the small ones are left out. */
const MOST_FACES = 1024;

interface Size {
  readonly width: number;
  readonly height: number;
}

/** How a finder runs. */
export interface FinderOptions {
  readonly providers: readonly ProviderChoice[];
  readonly plan: ThreadPlan;
  readonly warmUpMs: number | undefined;
  readonly onWorkerLost: (reason: string) => void;
}

/** Finds faces with their landmarks, in workers of its own. */
export class FaceFinder {
  /** The detector's value of each of the 256 levels, by channel. */
  private readonly levels: readonly Float32Array[];

  private constructor(
    private readonly config: FacesConfig,
    private readonly workers: InferenceWorkers,
    private readonly layout: DetectorLayout,
    /** The size that the graph insists on; undefined where it takes any. */
    private readonly fixed: Size | undefined,
  ) {
    const { mean, std } = config;
    this.levels = [0, 1, 2].map((channel) =>
      Float32Array.from(
        { length: 256 },
        (_, level) => (level - mean[channel % mean.length]) / std[channel % std.length],
      ),
    );
  }

  /**
   * Starts the detector's workers.
   * @param file - its ONNX file
   * @throws BallastError invalid-model where it is no face detector whose outputs are known
   */
  static async open(file: string, config: FacesConfig, options: FinderOptions): Promise<FaceFinder> {
    const { providers, plan, warmUpMs, onWorkerLost } = options;
    const size = Math.ceil(config.sizes[0] / STRIDE) * STRIDE;
    const workers = await InferenceWorkers.start(
      {
        ...{ file, expose: [], companions: [], providers },
        warmUp: { maxBatchSize: 1, sampleShapes: {}, budgetMs: warmUpMs },
      },
      plan,
      onWorkerLost,
    );
    try {
      const { inputs, outputs } = workers.info;
      const layout = detectorLayout(outputs);
      const [input] = inputs;
      if (inputs.length !== 1 || input.dims.length !== 4 || ![3, -1].includes(input.dims[1])) {
        throw new BallastError(
          'invalid-model',
          `faces.detector: a face detector takes one input [1, 3, height, width]; this one takes ${inputs.map(({ name, dims }) => `"${name}" [${dims.join(', ')}]`).join(', ')}.`,
        );
      }
      const [, , height, width] = input.dims;
      const finder = new FaceFinder(
        config,
        workers,
        layout,
        height > 0 && width > 0 ? { width, height } : undefined,
      );
      // Its size is open, so that the workers could not warm it, nor tell whether its outputs fit.
      await finder.look({ data: new Uint8Array(size * size * 3), width: size, height: size }, size);
      return finder;
    } catch (error) {
      await workers.close();
      throw error;
    }
  }

  /**
   * Faces of a picture, the surest first, in its pixels.
   * @throws BallastError unavailable where a worker died
   */
  async find(picture: RgbPicture): Promise<Face[]> {
    const { sizes, overlap, maxFaces, minSize } = this.config;
    const longer = Math.max(picture.width, picture.height);
    const looks = new Set(sizes.map((size) => Math.min(size, longer, this.most)));
    const found: Face[] = [];
    for (const size of looks) found.push(...(await this.look(picture, size)));
    return withoutNested(suppress(found, overlap, MOST_FACES))
      .filter(({ box }) => Math.min(box.width, box.height) >= minSize)
      .slice(0, maxFaces);
  }

  /** Ends the workers. */
  async close(): Promise<void> {
    await this.workers.close();
  }

  private get most(): number {
    return this.fixed === undefined ? Infinity : Math.min(this.fixed.width, this.fixed.height);
  }

  /** Faces that are seen where the picture's longer side has `size` pixels. */
  private async look(picture: RgbPicture, size: number): Promise<Face[]> {
    const scale = size / Math.max(picture.width, picture.height);
    const small = await resized(picture, {
      width: Math.max(1, Math.round(picture.width * scale)),
      height: Math.max(1, Math.round(picture.height * scale)),
    });
    const canvas = this.fixed ?? { width: roundUp(small.width), height: roundUp(small.height) };
    const [input] = this.workers.info.inputs;
    const names = this.workers.info.outputs.map(({ name }) => name);
    const { outputs } = await this.workers.run({ [input.name]: this.tensorOf(small, canvas) }, names);
    const raw = Object.fromEntries(
      Object.entries(outputs).map(([name, { dims, data }]) => [name, { dims, data: data as Float32Array }]),
    );
    const [sx, sy] = [picture.width / small.width, picture.height / small.height];
    return decodeFaces(this.layout, raw, canvas, this.config.threshold).map((face) =>
      scaledFace(face, sx, sy),
    );
  }

  /** The picture in the top left corner of the canvas, as the detector takes it; black elsewhere. */
  private tensorOf({ data, width, height }: RgbPicture, canvas: Size): Tensor {
    const area = canvas.width * canvas.height;
    const values = new Float32Array(3 * area);
    for (let channel = 0; channel < 3; channel++) {
      const level = this.levels[channel];
      const source = this.config.channels === 'bgr' ? 2 - channel : channel;
      const plane = values.subarray(channel * area, (channel + 1) * area);
      if (level[0] !== 0) plane.fill(level[0]);
      for (let y = 0; y < height; y++) {
        let from = y * width * 3 + source;
        const end = y * canvas.width + width;
        for (let to = y * canvas.width; to < end; to++, from += 3) plane[to] = level[data[from]];
      }
    }
    return { type: 'float32', dims: [1, 3, canvas.height, canvas.width], data: values };
  }
}

function roundUp(side: number): number {
  return Math.ceil(side / STRIDE) * STRIDE;
}
