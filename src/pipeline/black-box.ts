import type { BlackBox } from '../adapt/fit-prompt.js';
import type { RunningOptions } from '../adapt/coordinator.js';
import { toMatrix } from '../runtime/matrix.js';
import { RemoteClassifier, type RemoteSpec } from '../runtime/remote-classifier.js';
import { Session } from '../runtime/session.js';
import type { Matrix, Tensor, TensorMap } from '../runtime/tensor.js';
import { Lanes } from '../runtime/lanes.js';
import { concatRows, rowsOf } from './rows.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** Where a classifier's answers come from. */
export interface BlackBoxSpec {
  /** Path of its ONNX file, or the remote endpoint. */
  readonly source: string | RemoteSpec;
  /** The input that takes pictures, and the tensor of logits. */
  readonly input: string;
  readonly logits: string;
  /** Pictures that it takes at once, at most. */
  readonly maxBatchSize: number;
}

/**
 * Opens a classifier that a prompt is fitted to.
 * @param onQueries - told of every picture that it is asked about
 * @throws BallastError as Session.open, or RemoteClassifier.connect
 */
export async function openBlackBox(
  { source, input, logits, maxBatchSize }: BlackBoxSpec,
  running: RunningOptions,
  onQueries: (pictures: number) => void,
): Promise<BlackBox> {
  let ask: (pictures: TensorMap, signal?: StopSignal) => Promise<TensorMap>;
  let atOnce = 1;
  if (typeof source === 'string') {
    const session = await Session.open({ file: source, expose: [logits], ...running });
    ask = async (pictures) => {
      onQueries(pictures[input].dims[0]);
      return session.run(pictures, [logits]);
    };
  } else {
    const remote = await RemoteClassifier.connect(source, onQueries);
    atOnce = remote.count;
    ask = async (pictures, signal) => (await remote.run(pictures, [logits], signal)).outputs;
  }
  return {
    async classify(images: Tensor, signal?: StopSignal): Promise<Matrix> {
      const lanes = new Lanes(atOnce);
      const parts: Promise<TensorMap>[] = [];
      for (let begin = 0; begin < images.dims[0]; begin += maxBatchSize) {
        const end = Math.min(images.dims[0], begin + maxBatchSize);
        parts.push(lanes.run(() => ask(rowsOf({ [input]: images }, begin, end), signal)));
      }
      const answers = await Promise.all(parts);
      return toMatrix(concatRows(answers)[logits], `The tensor of logits "${logits}"`);
    },
  };
}
