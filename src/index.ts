export { createServer } from './server/app.js';
export { type BallastServer } from './server/ballast-server.js';
export { type ServerConfig, type ServerOptions } from './server/config.js';
export { type Listening } from './server/lifecycle.js';
export { importModel, type ImportedFiles, type ImportOptions } from './pipeline/import-model.js';
export {
  type EncodedInputs,
  type LabelledPicture,
  type ModelPrompts,
  type Models,
  type ModelStatus,
  type ServedModel,
  type Streams,
  type StreamWindow,
} from './pipeline/serving.js';
export {
  type BatchResult,
  type Certificate,
  type LameReport,
  type PromptReport,
  type RequestOptions,
  type SmoothingReport,
} from './pipeline/batch.js';
export { smooth, type SmoothOptions } from './robust/smoothing.js';
export { mixingAlpha, transformLogits, type AlphaScaling, type Nonlinearity } from './robust/mixing.js';
export { gaussianRadius, lipschitzRadius } from './robust/certificate.js';
export { certifyVotes, type NoisyVotes, type VoteCertificate } from './robust/randomized-smoothing.js';
export { closeLame, lame, type Affinity, type LameOptions, type LameResult } from './adapt/lame.js';
export { SpsaGc, type LossOfCandidates, type SpsaGcOptions, type SpsaGcState } from './adapt/spsa-gc.js';
export { type Job, type Jobs } from './pipeline/jobs.js';
export { type PromptCard, type PromptVersion } from './pipeline/prompt-versions.js';
export { evaluate, type EvaluationHost } from './eval/evaluate.js';
export { evalOptionsSchema, type EvalOptions } from './eval/options.js';
export { type EvalProgress } from './eval/progress.js';
export { recommend } from './eval/recommend.js';
export { reportSchema, type Report } from './eval/report-schema.js';
export { fitTemperature } from './eval/temperature.js';
export { inspectModel, type ModelInspection } from './runtime/onnx/inspect.js';
export { exposeTensors } from './runtime/onnx/expose.js';
export {
  insertModulation,
  inspectModulation,
  type ModulatedLayer,
  type ModulatedModel,
  type Modulation,
  type ModulationOptions,
} from './runtime/onnx/insert-modulation.js';
export { type LayerChoice } from './runtime/onnx/choose-layers.js';
export { type LayerKind, type SkippedLayer } from './runtime/onnx/modulation-points.js';
export { type Matrix, type Tensor, type TensorMap, type TensorSpec } from './runtime/tensor.js';
export { BallastError, type ErrorCode } from './errors.js';
