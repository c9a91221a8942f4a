import { z } from 'zod';
import { audioInputSchema } from './audio-config.js';
import { facesSchema, verdictSchema } from './deepfake-config.js';
import { smoothingSchema } from './smoothing-config.js';

const modelName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
    'it must be a name of letters, digits, ".", "_" and "-" that starts with a letter or digit',
  );

const triple = z.union([z.tuple([z.number()]), z.tuple([z.number(), z.number(), z.number()])]);
const deviations = z.union([
  z.tuple([z.number().positive()]),
  z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]),
]);

/** An input that takes encoded pictures: they are decoded, resized and normalised as written here. */
export const imageInputSchema = z.strictObject({
  kind: z.literal('image'),
  /** The ONNX input that it feeds; may be left out where the model has one input or one of this name. */
  tensor: z.string().optional(),
  /** Size in pixels that the network takes. */
  width: z.int().min(1).max(8192),
  height: z.int().min(1).max(8192),
  /** fill: stretch; cover: resize, then crop the centre; contain: resize, then pad with black. */
  fit: z.enum(['fill', 'cover', 'contain']).default('cover'),
  /** Order of the axes of a sample: [C, H, W] or [H, W, C]. */
  layout: z.enum(['nchw', 'nhwc']).default('nchw'),
  channels: z.enum(['rgb', 'bgr', 'grey']).default('rgb'),
  /** Of pixels scaled to [0, 1], one value or one a channel: the network sees (pixel - mean) / std. */
  mean: triple.default([0, 0, 0]),
  std: deviations.default([1, 1, 1]),
});

/** Names of element types, as the Open Inference Protocol has them, in lower case. */
export const datatypeSchema = z.enum([
  'fp16',
  'fp32',
  'fp64',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'bool',
  'bytes',
]);

/** An input that takes tensors as they are. */
export const tensorInputSchema = z.strictObject({
  kind: z.literal('tensor'),
  tensor: z.string().optional(),
  /** Shape of one sample, the batch axis left out; -1 for an axis that may vary. */
  shape: z.array(z.int().min(-1)),
  dtype: datatypeSchema.default('fp32'),
});

/** LAME: see src/adapt/lame.ts. */
export const lameSchema = z.strictObject({
  affinity: z.enum(['knn', 'rbf', 'linear']).default('knn'),
  k: z.int().min(1).max(1000).default(5),
  symmetrize: z.boolean().default(false),
  lambda: z.number().min(0).max(100).default(1),
  maxSteps: z.int().min(1).max(1000).default(100),
  /** request: adapt within each request, and in its stream where one is named; stream: only in streams. */
  scope: z.enum(['request', 'stream', 'off']).default('request'),
  /**
   * Samples of a stream that a new sample is adapted with; or auto: in streams and in requests, each sample with those
   * of its own run, and none where traffic looks shuffled. See src/adapt/auto-window.ts.
   */
  window: z.union([z.int().min(1).max(4096), z.literal('auto')]).default(64),
});

export const batchingSchema = z.strictObject({
  /** Samples in one forward pass, at most. */
  maxBatchSize: z.int().min(1).max(4096).default(64),
  /** Milliseconds that an idle model waits for more samples. */
  maxQueueDelayMs: z.number().min(0).max(10_000).default(0),
  /** Samples in the model at once, waiting or running, at most; what comes then is answered 429. */
  maxQueueSize: z.int().min(1).max(1_000_000).default(512),
});

export const providerSchema = z.enum(['auto', 'cuda', 'webgpu', 'cpu']);

export const robustSchema = z.strictObject({
  file: z.string(),
  /** The tensor of logits `[N, K]`; found by itself where left out. */
  logits: z.string().optional(),
  /** Mean and deviation of the pictures that it takes, where they are not those of the input. */
  mean: triple.optional(),
  std: deviations.optional(),
});

/** The model that is wrapped: an ONNX file, or a remote endpoint. */
export const classifierSchema = z
  .strictObject({
    file: z.string().optional(),
    /** Of a model that another server answers for, such as https://host:8000/v2/models/resnet. */
    url: z.url({ protocol: /^https?$/ }).optional(),
    protocol: z.literal('oip-v2').optional(),
    /** Sent with every call; ${NAME} stands for an environment variable. */
    headers: z.record(z.string(), z.string()).default({}),
    /** Seconds that one call may take. */
    timeout: z.number().positive().max(3600).default(10),
    /** Tries after the first. */
    retries: z.int().min(0).max(20).default(3),
    /** Calls under way at once, at most. */
    maxInFlight: z.int().min(1).max(1000).default(8),
    /** The tensor of logits `[N, K]`; found by itself where left out. */
    logits: z.string().optional(),
    /** The tensor of penultimate features `[N, D]`; auto finds it, none serves without (and without LAME). */
    features: z.string().default('auto'),
  })
  .refine(
    ({ file, url }) => (file === undefined) !== (url === undefined),
    'it must be either a file or a url',
  );

export const modulationSchema = z.strictObject({
  /** A safetensors file with the scales and shifts of each combination: see adapt/modulation.ts. */
  sets: z.string(),
  /** Whether a file that cannot be decoded fails its request, or counts as one that did not arrive. */
  onBroken: z.enum(['error', 'treat-as-missing']).default('error'),
});

export const promptSchema = z.strictObject({
  /** ONNX file of the encoder: RGB pictures in [0, 1] to `z [N, D]`. */
  coordinator: z.string(),
  /** latest: the version made active; a number: that one always; off: none but what a request asks for. */
  version: z
    .union([
      z.enum(['latest', 'off']),
      z.int().min(1).transform(String),
      z.string().regex(/^[1-9]\d*$/, 'it must be a number, latest or off'),
    ])
    .default('latest'),
  /** Strength of the prompt, in the model's own input units. */
  epsilon: z.number().positive().max(100).default(1),
});

/** How sure the classifier's answers are: see src/eval/temperature.ts. */
export const calibrationSchema = z.strictObject({
  /** What the classifier's logits are divided by before anything else looks at them. */
  temperature: z.number().positive().max(1000).default(1),
});

/** What recent traffic is compared with: see src/adapt/feature-drift.ts. */
export const monitorSchema = z.strictObject({
  /** A safetensors file with the mean embedding of the features of evaluated samples, and a threshold. */
  reference: z.string(),
});

/** model.yaml: how a model is fed, what it answers and which methods hold it steady. */
export const modelConfigSchema = z.strictObject({
  name: modelName,
  /**
   * classification: logits over labels. deepfake: of aligned faces to the labels real and fake, with a face detector in
   * front. raw: tensors in, tensors out, over the Open Inference Protocol alone.
   */
  task: z.enum(['classification', 'deepfake', 'raw']).default('classification'),
  /** A file with a label a line, or the labels themselves, in the order of the classes. */
  labels: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  inputs: z
    .record(z.string(), z.discriminatedUnion('kind', [imageInputSchema, audioInputSchema, tensorInputSchema]))
    .default({}),
  classifier: classifierSchema,
  /** A second classifier of the same classes and inputs, which holds under attack. */
  robust: robustSchema.optional(),
  /** How both are mixed. */
  smoothing: smoothingSchema.optional(),
  lame: lameSchema.optional(),
  /** What holds the model steady where an input is missing. */
  modulation: modulationSchema.optional(),
  /** Prompts that are drawn onto every picture before the classifier sees it. */
  prompt: promptSchema.optional(),
  /** Of a deepfake model: how faces are found and cropped; left out, it takes crops alone. */
  faces: facesSchema.optional(),
  /** Of a deepfake model: from which probability of fake on a face is called fake. */
  verdict: verdictSchema.optional(),
  calibration: calibrationSchema.prefault({}),
  /** Drift of its traffic, as a metric. */
  monitor: monitorSchema.optional(),
  batching: batchingSchema.prefault({}),
  /** In order of preference; `auto` is cuda, then webgpu, then cpu. Left out: what the server was started with. */
  providers: z.array(providerSchema).min(1).optional(),
  /**
   * auto: on a CPU, larger batches go through Winograd's convolutions where these are faster; their answers differ in the
   * last digits. off: every batch goes through the file as it is.
   */
  winograd: z.enum(['auto', 'off']).default('auto'),
});

export type ImageInput = z.infer<typeof imageInputSchema>;
export type TensorInput = z.infer<typeof tensorInputSchema>;
export type LameConfig = z.infer<typeof lameSchema>;
export type PromptConfig = z.infer<typeof promptSchema>;
export type Batching = z.infer<typeof batchingSchema>;
export type Provider = z.infer<typeof providerSchema>;
export type ModelConfig = z.infer<typeof modelConfigSchema>;
