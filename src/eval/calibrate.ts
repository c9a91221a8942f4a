import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap, isScalar, parseDocument } from 'yaml';
import { BallastError } from '../errors.js';
import { softmax, toMatrix } from '../runtime/matrix.js';
import { SeededRandom } from '../runtime/seeded-random.js';
import type { Matrix, Tensor } from '../runtime/tensor.js';
import { writeAtomically } from '../runtime/write-atomically.js';
import type { EvaluatedModel } from './evaluated-model.js';
import { calibrationErrorOf } from './metrics/calibration-error.js';
import { logLossOf } from './metrics/log-loss.js';
import { scoredOf } from './metrics/scored.js';
import { outcomeOf } from './outcome.js';
import { rowsAt } from './rows-at.js';
import { fitTemperature } from './temperature.js';

/** How well probabilities say how sure the model is. */
export interface Sureness {
  readonly temperature: number;
  /** Expected calibration error, in [0, 1]. */
  readonly calibrationError: number;
  /** Mean negative log-likelihood, in nats. */
  readonly logLoss: number;
}

/** What a calibration came to. All of it is of the half that the temperature was not fitted on. */
export interface Calibration {
  readonly fittedOn: number;
  readonly judgedOn: number;
  readonly before: Sureness;
  readonly after: Sureness;
  /** Whether model.yaml has the new temperature now: only where the log loss became less. */
  readonly written: boolean;
}

const TOGETHER = 64;

/**
 * Fits a temperature on half of the clean samples, and judges it on the other half.
 * @param logits - of the model, before any temperature, `[N, K]`
 * @param labels - true classes, `[N]`
 * @param current - the temperature that model.yaml has
 * @param seed - of the halves
 * @throws BallastError invalid-input where there are fewer than 20 samples
 */
export function calibrate(
  logits: Matrix,
  labels: Uint32Array,
  current: number,
  seed: number,
): Omit<Calibration, 'written'> {
  if (labels.length < 20) {
    throw new BallastError(
      'invalid-input',
      `There are ${labels.length} pictures; a temperature is fitted on one half and judged on the other, of 20 or more.`,
    );
  }
  const order = new SeededRandom(seed, 4).permutation(labels.length);
  const middle = Math.floor(order.length / 2);
  const [fitted, judged] = [order.subarray(0, middle), order.subarray(middle)];
  // As many digits as model.yaml gets.
  const temperature = Number(fitTemperature(rowsAt(logits, fitted), at(labels, fitted)).toPrecision(5));
  const judge = (value: number): Sureness => surenessOf(rowsAt(logits, judged), at(labels, judged), value);
  return {
    fittedOn: fitted.length,
    judgedOn: judged.length,
    before: judge(current),
    after: judge(temperature),
  };
}

/**
 * Calibrates a model and writes `calibration.temperature` into its model.yaml where that makes the log loss less on the
 * half that it was not fitted on. Comments and all other keys stay.
 * @param tensorOf - the model's input for the samples `[begin, end)`
 * @throws BallastError as `calibrate` and LoadedModel.infer; unavailable where model.yaml cannot be written
 */
export async function calibrateModel(
  { served, definition }: EvaluatedModel,
  labels: Uint32Array,
  seed: number,
  tensorOf: (begin: number, end: number) => Tensor,
  { onSamples, signal }: { onSamples: (samples: number) => void; signal: AbortSignal },
): Promise<Calibration> {
  const [{ name: input }] = served.inputs;
  const logits = served.tensors.logits!;
  const parts: Float32Array[] = [];
  for (let begin = 0; begin < labels.length; begin += TOGETHER) {
    signal.throwIfAborted();
    const end = Math.min(labels.length, begin + TOGETHER);
    const { outputs } = await served.infer(
      { [input]: tensorOf(begin, end) },
      { lame: false, smoothing: false, prompt: 'off', outputs: [logits] },
    );
    parts.push(toMatrix(outputs[logits], `The tensor of logits "${logits}"`).data);
    onSamples(end - begin);
  }
  const cols = parts[0].length / Math.min(labels.length, TOGETHER);
  const data = new Float32Array(labels.length * cols);
  parts.forEach((part, i) => {
    data.set(part, i * TOGETHER * cols);
  });
  const { temperature: current } = served.config.calibration;
  const found = calibrate({ data, rows: labels.length, cols }, labels, current, seed);
  const written = found.after.logLoss < found.before.logLoss;
  if (written) {
    const file = join(definition.folder, 'model.yaml');
    await writeAtomically(file, withTemperature(await readFile(file, 'utf8'), found.after.temperature));
  }
  return { ...found, written };
}

/** The text of a model.yaml with the temperature in it; everything else stays, to the letter where that can be. */
export function withTemperature(text: string, temperature: number): string {
  const document = parseDocument(text);
  const before = document.getIn(['calibration', 'temperature'], true);
  if (isScalar(before) && before.range) {
    const [begin, end] = before.range;
    return `${text.slice(0, begin)}${temperature}${text.slice(end)}`;
  }
  const line = `calibration: { temperature: ${temperature} }\n`;
  const appended = `${text}${text.endsWith('\n') ? '' : '\n'}${line}`;
  const { contents } = document;
  if (isMap(contents) && !contents.flow && !document.has('calibration')) {
    const { errors, contents: whole } = parseDocument(appended);
    if (errors.length === 0 && isMap(whole) && whole.has('calibration')) return appended;
  }
  document.set('calibration', document.createNode({ temperature }, { flow: true }));
  return document.toString({ lineWidth: 120 });
}

function surenessOf(logits: Matrix, labels: Uint32Array, temperature: number): Sureness {
  const probabilities = softmax({ ...logits, data: logits.data.map((logit) => logit / temperature) });
  const scored = scoredOf(outcomeOf(probabilities, labels), labels, logits.cols);
  return { temperature, calibrationError: calibrationErrorOf(scored), logLoss: logLossOf(scored) };
}

function at(labels: Uint32Array, rows: Uint32Array): Uint32Array {
  return Uint32Array.from(rows, (row) => labels[row]);
}
