import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BallastError } from '#ballast/errors.js';
import { exposeTensors } from '#ballast/runtime/onnx/expose.js';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { fixture } from '../fixtures/onnx-fixtures.js';

const models = [
  'resnet-torchscript.onnx',
  'vit-dynamo.onnx',
  'vit-int8-dynamic.onnx',
  'vit-external.onnx',
  'slow.onnx',
  'function-head.onnx',
].map(fixture);
const anyModel = fc.constantFrom(...models);

/** Reads bytes as a model: what comes back is a model, or the one error that is allowed. */
function readable(bytes: Uint8Array): boolean {
  try {
    const { logits, features } = inspectModel(bytes);
    const names = [logits, features?.name].filter((name) => name !== undefined);
    inspectModel(exposeTensors(bytes, names));
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(BallastError);
    expect((error as BallastError).code).toBe('invalid-model');
    return false;
  }
}

describe('bytes of a model', () => {
  it('stay the same when nothing is exposed', () => {
    for (const model of models) expect(Buffer.compare(exposeTensors(model, []), model)).toBe(0);
  });

  it('are read or refused wherever they are cut', () => {
    fc.assert(
      fc.property(anyModel, fc.double({ min: 0, max: 1, noNaN: true }), (model, share) => {
        readable(model.subarray(0, Math.floor(share * (model.length - 1))));
      }),
      { numRuns: 300 },
    );
  });

  it('are read or refused whichever of them are wrong', () => {
    const spots = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(anyModel, spots, fc.boolean(), (model, changes, early) => {
        const bytes = Uint8Array.from(model);
        // Structure lies at the beginning of most models, weights behind it.
        const range = early ? Math.min(2000, bytes.length) : bytes.length;
        for (const [at, value] of changes) bytes[at % range] = value;
        readable(bytes);
      }),
      { numRuns: 300 },
    );
  });

  it('are refused where they never were a model', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(readable(bytes)).toBe(false);
      }),
    );
  });

  it('hold every tensor that was exposed, and all that they held before', () => {
    const model = fixture('vit-torchscript.onnx');
    const tensors = ['image', '/norm/LayerNormalization_output_0', '/Gather_1_output_0', 'head.bias'];
    const before = { ...inspectModel(model), outputs: [], warnings: [] };
    fc.assert(
      fc.property(fc.subarray(tensors), (names) => {
        const after = inspectModel(exposeTensors(model, names));
        expect(after.outputs.map(({ name }) => name)).toEqual(['scores', ...names]);
        expect({ ...after, outputs: [], warnings: [] }).toEqual(before);
      }),
    );
  });
});
