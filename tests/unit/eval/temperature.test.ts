import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { calibrate, withTemperature } from '#ballast/eval/calibrate.js';
import { fitTemperature } from '#ballast/eval/temperature.js';
import type { Batcher } from '#ballast/pipeline/batcher.js';
import { parseModelFile } from '#ballast/pipeline/model-file.js';
import { Batch } from '#ballast/pipeline/pipeline.js';
import { ForwardStage } from '#ballast/pipeline/stages/forward.js';
import { argmax, softmax } from '#ballast/runtime/matrix.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

const COLS = 5;

/** Logits, and labels drawn from softmax(logits / temperature), of which that temperature is the right one. */
function drawn(rows: number, temperature: number): { logits: Matrix; labels: Uint32Array } {
  const random = new SeededRandom(rows, 1);
  const data = Float32Array.from({ length: rows * COLS }, () => 12 * random.uniform());
  const logits = { data, rows, cols: COLS };
  const { data: shares } = softmax({ ...logits, data: data.map((logit) => logit / temperature) });
  const labels = Uint32Array.from({ length: rows }, (_, row) => {
    let left = random.uniform();
    const own = shares.subarray(row * COLS, (row + 1) * COLS);
    const label = own.findIndex((share) => (left -= share) < 0);
    return label < 0 ? COLS - 1 : label;
  });
  return { logits, labels };
}

describe('fitTemperature', () => {
  it.each([0.5, 1, 3])('finds the temperature %d that labels were drawn with', (temperature) => {
    const { logits, labels } = drawn(6000, temperature);
    expect(fitTemperature(logits, labels) / temperature).toBeCloseTo(1, 1);
  });

  it('stays in its range where every answer is right, or wrong', () => {
    const logits = { data: Float32Array.of(1, 0, 0, 1), rows: 2, cols: 2 };
    expect(fitTemperature(logits, Uint32Array.of(0, 1))).toBeCloseTo(0.01, 6);
    expect(fitTemperature(logits, Uint32Array.of(1, 0))).toBeCloseTo(100, 6);
  });
});

describe('calibrate', () => {
  it('lowers both errors of the half that it was not fitted on', () => {
    const { logits, labels } = drawn(4000, 3);
    const { before, after, fittedOn, judgedOn } = calibrate(logits, labels, 1, 0);
    expect(after.temperature).toBeCloseTo(3, 0);
    expect(after.logLoss).toBeLessThan(before.logLoss);
    expect(after.calibrationError).toBeLessThan(before.calibrationError / 2);
    expect([fittedOn, judgedOn]).toEqual([2000, 2000]);
  });

  it('refuses what is too little for two halves', () => {
    const { logits, labels } = drawn(19, 1);
    expect(() => calibrate(logits, labels, 1, 0)).toThrow('There are 19 pictures');
  });
});

describe('withTemperature', () => {
  const yaml = '# What this is.\nname: m\nclassifier: { file: m.onnx } # The network.\n';

  it('keeps comments and everything else', () => {
    const text = withTemperature(yaml, 1.25);
    expect(text).toBe(`${yaml}calibration: { temperature: 1.25 }\n`);
    expect(withTemperature(text, 2)).toBe(`${yaml}calibration: { temperature: 2 }\n`);
    expect(parseModelFile(text, 'model.yaml').calibration.temperature).toBe(1.25);
    expect(parseModelFile(yaml, 'model.yaml').calibration.temperature).toBe(1);
  });

  it.each([
    [
      'indented as nobody does',
      'name:   m\ninputs: {a: [0.1,0.2]}  # spaces\nclassifier:   { file: m.onnx }',
    ],
    ['of braces', '{ name: m, classifier: { file: m.onnx } }\n'],
    ['with an empty key', 'name: m\nclassifier: { file: m.onnx }\ncalibration:\n'],
    ['with an end mark', 'name: m\nclassifier: { file: m.onnx }\n...\n'],
  ])('writes into a file %s', (_, text) => {
    const { calibration } = parse(withTemperature(text, 1.5)) as { calibration: unknown };
    expect(calibration).toEqual({ temperature: 1.5 });
    expect(parse(withTemperature(text, 1.5))).toMatchObject({ name: 'm', classifier: { file: 'm.onnx' } });
  });

  it('changes no other letter', () => {
    const text = 'name:   m\ncalibration: {temperature:   3  } # mine\nx: [1,2]\n';
    expect(withTemperature(text, 1.5)).toBe(text.replace('3', '1.5'));
    expect(withTemperature('name:   m\nx: [1,2]\n', 2)).toBe(
      'name:   m\nx: [1,2]\ncalibration: { temperature: 2 }\n',
    );
  });

  it('must be above 0', () => {
    expect(() => parseModelFile(withTemperature(yaml, 0), 'model.yaml')).toThrow(
      'calibration.temperature: found 0',
    );
    expect(() => parseModelFile(`${yaml}calibration: { temperatur: 2 }`, 'model.yaml')).toThrow(
      'did you mean "temperature"?',
    );
  });
});

describe('ForwardStage with a temperature', () => {
  const { logits } = drawn(64, 1);

  async function answer(temperature?: number): Promise<Batch> {
    const data = logits.data.slice();
    const batcher = {
      run: () =>
        Promise.resolve({
          outputs: { z: { type: 'float32', dims: [logits.rows, COLS], data } },
          queueMs: 0,
          forwardMs: 0,
        }),
    } as unknown as Batcher;
    const stage = new ForwardStage(
      batcher,
      { logits: 'z' },
      () => [],
      ...(temperature === undefined ? [] : [temperature]),
    );
    const batch = new Batch({ count: logits.rows, options: { outputs: ['z'] } });
    await stage.run(batch);
    return batch;
  }

  it('changes no bit at 1, and copies nothing', async () => {
    const [plain, one] = [await answer(), await answer(1)];
    expect(one.base!.data).toEqual(plain.base!.data);
    expect(one.logits!.data).toBe(one.outputs['z'].data);
  });

  it.each([0.3, 2.7])(
    'keeps every answer at %d, and the outputs that were asked for',
    async (temperature) => {
      const [plain, tempered] = [await answer(), await answer(temperature)];
      for (let row = 0; row < logits.rows; row++) {
        expect(argmax(tempered.base!, row)).toBe(argmax(plain.base!, row));
        const best = row * COLS + argmax(plain.base!, row);
        expect(tempered.base!.data[best] < plain.base!.data[best]).toBe(temperature > 1);
      }
      expect(tempered.base!.data).toEqual(
        softmax({ ...logits, data: logits.data.map((logit) => logit / temperature) }).data,
      );
      expect(tempered.outputs['z'].data).toEqual(logits.data);
    },
  );
});
