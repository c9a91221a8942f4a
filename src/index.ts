export { createServer } from './server/app.js';
export { type BallastServer } from './server/ballast-server.js';
export { type ServerConfig, type ServerOptions } from './server/config.js';
export { type Listening } from './server/lifecycle.js';
export { importModel, type ImportedFiles, type ImportOptions } from './pipeline/import-model.js';
export {
  type EncodedInputs,
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
  type RequestOptions,
  type SmoothingReport,
} from './pipeline/batch.js';
export { smooth, type SmoothOptions } from './robust/smoothing.js';
export { mixingAlpha, transformLogits, type AlphaScaling, type Nonlinearity } from './robust/mixing.js';
export { gaussianRadius, lipschitzRadius } from './robust/certificate.js';
export { certifyVotes, type NoisyVotes, type VoteCertificate } from './robust/randomized-smoothing.js';
export { closeLame, lame, type Affinity, type LameOptions, type LameResult } from './adapt/lame.js';
export { inspectModel, type ModelInspection } from './runtime/onnx/inspect.js';
export { exposeTensors } from './runtime/onnx/expose.js';
export { type Matrix, type Tensor, type TensorMap, type TensorSpec } from './runtime/tensor.js';
export { BallastError, type ErrorCode } from './errors.js';
