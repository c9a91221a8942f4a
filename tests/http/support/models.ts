import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const fixtures = new URL('../../fixtures/onnx/', import.meta.url);

/** Models to serve in tests: an ONNX fixture and the model.yaml beside it. */
const models = {
  /** A classifier of 32 × 32 pictures into ten classes, with LAME. */
  pictures: {
    onnx: 'resnet-dynamo.onnx',
    yaml: `
labels: [ant, bee, cat, dog, elk, fox, gnu, hen, ibis, jay]
inputs: { image: { kind: image, width: 32, height: 32 } }
classifier: { file: model.onnx }
lame: { affinity: knn, k: 5 }
`,
  },
  /** The same network in half precision, fed with tensors. */
  halves: {
    onnx: 'resnet-fp16-dynamo.onnx',
    yaml: `
task: raw
inputs: { image: { kind: tensor, shape: [3, 32, 32], dtype: fp16 } }
classifier: { file: model.onnx, features: none }
`,
  },
  /** Two inputs, two outputs: their sum and their difference. */
  add_sub: {
    onnx: 'add_sub-fp32.onnx',
    yaml: `
task: raw
inputs: { INPUT0: { kind: tensor, shape: [16] }, INPUT1: { kind: tensor, shape: [16] } }
classifier: { file: model.onnx, features: none }
`,
  },
  add_sub_int: {
    onnx: 'add_sub-int32.onnx',
    yaml: `
task: raw
inputs: { INPUT0: { kind: tensor, shape: [16], dtype: int32 }, INPUT1: { kind: tensor, shape: [16], dtype: int32 } }
classifier: { file: model.onnx, features: none }
`,
  },
  /** Takes about TRIPS times 5 ms; a queue of two samples. */
  slow: {
    onnx: 'slow.onnx',
    yaml: `
task: raw
inputs: { INPUT: { kind: tensor, shape: [16] }, TRIPS: { kind: tensor, shape: [1], dtype: int64 } }
classifier: { file: model.onnx, features: none }
batching: { maxBatchSize: 1, maxQueueSize: 2 }
`,
  },
} as const;

/** Names of the models that tests can serve. */
export type TestModel = keyof typeof models;

/** Writes a folder of models. */
export async function modelsFolder(names: readonly TestModel[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ballast-models-'));
  for (const name of names) await addModel(folder, name);
  return folder;
}

/** Adds a model to a folder of models; `yaml` replaces its own, and `as` its name. */
export async function addModel(
  folder: string,
  model: TestModel,
  { yaml = models[model].yaml, as = model }: { yaml?: string; as?: string } = {},
): Promise<void> {
  await mkdir(join(folder, as), { recursive: true });
  await copyFile(new URL(models[model].onnx, fixtures), join(folder, as, 'model.onnx'));
  await writeFile(join(folder, as, 'model.yaml'), `name: ${as}\n${yaml.trimStart()}`);
}
