import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface DeepfakeBenchOptions {
  /** Zip of faces. */
  readonly data: string;
  /** Folder of models, and which of them is measured. */
  readonly models: string;
  readonly model: string;
  /** Pictures of each class of each kind, and people, at most. */
  readonly samples: number;
  /** Whether fakes of the archive count that are not held out: for a model that learnt from none of them. */
  readonly allFakes: boolean;
  /** Simulated videos. */
  readonly videos: number;
  readonly seed: number;
  /** Whether long videos are timed, in place of measuring what is said of faces. */
  readonly video: boolean;
}

export const USAGE = `Usage: npm run bench:deepfake -- [options]

What a deepfake model says of held-out faces, through the server: AUROC by kind of fake, verdicts, calibration, the
faces that are found, and how steady it is over the frames of a video.

  --data ZIP      faces as <set>/<real|fake>/… (default ../shared/data/faces.zip)
  --models DIR    folder of models (default models)
  --model NAME    the folder of the model in it (default deepfake)
  --samples N     pictures of each class of a kind at most (default all held-out ones)
  --all-fakes     all fakes of the archive, not the held-out ones alone: for models that learnt from none
  --seed N        of blending, compression, jitter and bootstrap (default 1)
  --quick         60 pictures of each class and 10 videos: about 2 minutes
  --video         measure seconds and memory for a video of 10 seconds and one of 10 minutes, and nothing else
`;

/** @throws TypeError or RangeError with a sentence for the user where an option is wrong */
export function readOptions(args: readonly string[]): DeepfakeBenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string', default: '../shared/data/faces.zip' },
      models: { type: 'string', default: 'models' },
      model: { type: 'string', default: 'deepfake' },
      samples: { type: 'string' },
      'all-fakes': { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      quick: { type: 'boolean', default: false },
      video: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const all = values.quick ? 60 : Number.POSITIVE_INFINITY;
  return {
    data: values.data,
    models: values.models,
    model: values.model,
    samples: values.samples === undefined ? all : toCount('--samples', values.samples),
    allFakes: values['all-fakes'],
    videos: values.quick ? 10 : 60,
    seed: toCount('--seed', values.seed),
    video: values.video,
  };
}

function toCount(option: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`${option}: "${text}" is no whole number above 0.`);
}
