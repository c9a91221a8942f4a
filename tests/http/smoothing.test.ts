import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';
import { predictResponseSchema } from '#ballast/server/schemas.js';
import { formOf, jpeg } from './support/pictures.js';
import { ask, post, startServer, type Answer, type TestServer } from './support/server.js';

type Predicted = z.output<typeof predictResponseSchema>;

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));

/** A mixing network: gamma is ten times the difference of the means of what it reads. */
function mixingNetwork(width = 48): Uint8Array {
  const graph = new GraphBuilder('mixing');
  const standard = graph.input('standard', 'float32', ['N', width]);
  const robust = graph.input('robust', 'float32', ['N', 32, 'H', 'W']);
  const mean = (tensor: string): string => graph.node('ReduceMean', [graph.node('Flatten', [tensor]), axis]);
  const axis = graph.constant({ type: 'int64', dims: [1], data: BigInt64Array.of(1n) });
  const ten = graph.constant({ type: 'float32', dims: [1], data: Float32Array.of(10) });
  graph.node('Mul', [graph.node('Sub', [mean(standard), mean(robust)]), ten], {}, 'gamma');
  graph.output('gamma', 'float32', ['N', 1]);
  return encodeModel(graph);
}

const FEATURES =
  'features: { standard: "standard:/Flatten_output_0", robust: "robust:/body/body.4/Relu_1_output_0" }';

/** Adds a model whose standard classifier is a ResNet and whose robust one a SqueezeNet. */
async function addMixture(
  folder: string,
  name: string,
  smoothing: string,
  { robust = 'squeezenet-torchscript', mixing = mixingNetwork(), more = '', robustMore = '' } = {},
): Promise<void> {
  const target = join(folder, name);
  await mkdir(target, { recursive: true });
  await copyFile(fixture('resnet-torchscript'), join(target, 'standard.onnx'));
  await copyFile(fixture(robust), join(target, 'robust.onnx'));
  await writeFile(join(target, 'mixing.onnx'), mixing);
  await writeFile(
    join(target, 'model.yaml'),
    `name: ${name}
inputs: { image: { kind: image, width: 32, height: 32 } }
classifier: { file: standard.onnx }
robust: { file: robust.onnx${robustMore} }
smoothing: { ${smoothing} }
${more}
`,
  );
}

let server: TestServer;
let pictures: Buffer[];

beforeAll(async () => {
  server = await startServer(['pictures', 'add_sub']);
  pictures = await Promise.all(Array.from({ length: 8 }, (_, seed) => jpeg(seed)));
  const votes = 'certificate: { kind: randomized-smoothing, sigma: 0.25, samples: 200, confidence: 0.99 }';
  const all: Record<string, [string, string?]> = {
    fixed: ['alpha: 0.6, certificate: { kind: lipschitz, constant: 2, norm: linf }', 'lame: {}'],
    adaptive: [
      `mixing: mixing.onnx, ${FEATURES}, alpha: { bias: 0.5, scale: 0.4 }, robustScale: 0.5, ${votes}`,
    ],
    nonlinear: ['alpha: 0.9, nonlinear: { scale: 5, power: 4, shift: -1 }'],
    votes: [`alpha: 0.95, ${votes}`, 'lame: {}'],
    asked: ['default: off, alpha: 0.6, certificate: { kind: lipschitz, constant: 2 }'],
  };
  for (const [name, [smoothing, more = '']] of Object.entries(all)) {
    await addMixture(server.folder, name, smoothing, { more });
    await load(name);
  }
});
afterAll(() => server.close());

async function load(name: string): Promise<Answer> {
  return ask(`${server.url}/v2/repository/models/${name}/load`, { method: 'POST' });
}

async function predict(model: string, query = '', files: readonly Buffer[] = pictures): Promise<Predicted> {
  const answer = await ask(`${server.url}/v1/models/${model}/predict?top=10&${query}`, {
    method: 'POST',
    body: formOf(files),
  });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return predictResponseSchema.strict().parse(answer.body);
}

/** Probabilities `[N][K]` in the order of the classes. */
const classes = ({ predictions }: Predicted): number[][] =>
  predictions.map(({ top }) =>
    top.toSorted((a, b) => a.index - b.index).map(({ probability }) => probability),
  );

describe('smoothing', () => {
  it('mixes at a fixed alpha, which a request can set', async () => {
    const [standard, robust, mixed, half] = [
      classes(await predict('fixed', 'lame=off&alpha=0')),
      classes(await predict('fixed', 'lame=off&alpha=1')),
      await predict('fixed', 'lame=off'),
      classes(await predict('fixed', 'lame=off&alpha=0.5')),
    ];
    expect(mixed.adaptation).toEqual({ smoothing: { mode: 'fixed', alpha: [0.6, 0.6] } });
    mixed.predictions.forEach(({ alpha }) => {
      expect(alpha).toBe(0.6);
    });
    expect(standard).not.toEqual(robust);
    standard.forEach((row, i) => {
      row.forEach((p, k) => {
        expect(classes(mixed)[i][k]).toBeCloseTo(0.4 * p + 0.6 * robust[i][k], 5);
        expect(half[i][k]).toBeCloseTo(0.5 * p + 0.5 * robust[i][k], 5);
      });
    });
  });

  it('answers the standard classifier alone where smoothing is off', async () => {
    const off = await predict('fixed', 'lame=off&smoothing=off');
    expect(off.adaptation).toEqual({});
    expect(off.predictions[0]).not.toHaveProperty('alpha');
    const alone = classes(await predict('fixed', 'lame=off&alpha=0'));
    expect(
      classes(off)
        .flat()
        .every((p, i) => Math.abs(p - alone.flat()[i]) < 1e-6),
    ).toBe(true);
    off.predictions.forEach(({ label, base }) => {
      expect(label).toBe(base.label);
    });
  });

  it('feeds the robust classifier pictures with its own mean and deviation', async () => {
    const image =
      'inputs: { image: { kind: image, width: 32, height: 32, mean: [0.5, 0.4, 0.3], std: [0.2] } }';
    await addMixture(server.folder, 'other-mean', 'alpha: 1', {
      robustMore: ', mean: [0.5, 0.4, 0.3], std: [0.2]',
    });
    await addMixture(server.folder, 'same-mean', 'alpha: 1');
    const yaml = join(server.folder, 'same-mean', 'model.yaml');
    await writeFile(yaml, (await readFile(yaml, 'utf8')).replace(/^inputs:.*$/m, image));
    await Promise.all(['other-mean', 'same-mean'].map(load));
    const [other, same] = [classes(await predict('other-mean')), classes(await predict('same-mean'))];
    expect(other.flat()).not.toEqual(classes(await predict('fixed', 'alpha=1&lame=off')).flat());
    other.flat().forEach((p, i) => {
      expect(p).toBeCloseTo(same.flat()[i], 4);
    });
  });

  it('mixes only requests that ask for it, where model.yaml says so', async () => {
    expect((await predict('asked')).adaptation).toEqual({});
    for (const query of ['smoothing=on', 'alpha=0.6', 'certify=on']) {
      expect((await predict('asked', query)).adaptation.smoothing?.alpha, query).toEqual([0.6, 0.6]);
    }
  });

  it('lets a mixing network choose alpha for each sample, in its range', async () => {
    const { predictions, adaptation } = await predict('adaptive');
    const alphas = predictions.map(({ alpha }) => alpha!);
    expect(new Set(alphas).size).toBeGreaterThan(1);
    expect(adaptation.smoothing).toEqual({
      mode: 'mixing-network',
      alpha: [Math.min(...alphas), Math.max(...alphas)],
    });
    expect(Math.min(...alphas)).toBeGreaterThanOrEqual(0.5);
    expect(Math.max(...alphas)).toBeLessThanOrEqual(0.9);
  });

  it('keeps each sample to itself: alone or among others, its answer is the same', async () => {
    for (const model of ['adaptive', 'nonlinear']) {
      const together = classes(await predict(model));
      for (const [i, picture] of pictures.entries()) {
        const [alone] = classes(await predict(model, '', [picture]));
        alone.forEach((p, k) => {
          expect(p).toBeCloseTo(together[i][k], 5);
        });
      }
    }
  });

  it('certifies by a Lipschitz constant without being asked, and LAME takes the certificate of what it changed', async () => {
    const { predictions } = await predict('fixed', 'alpha=0.99&lame=off');
    for (const { certificate } of predictions) expect(certificate).toMatchObject({ norm: 'linf' });
    const adapted = await predict('fixed', 'alpha=0.99');
    const before = predictions.map(({ label }) => label);
    adapted.predictions.forEach(({ label, certificate }, i) => {
      expect(certificate === undefined).toBe(label !== before[i]);
    });
    expect((await predict('fixed', 'certify=off')).predictions[0]).not.toHaveProperty('certificate');
  });

  it('certifies by votes under noise where asked, the same way each time', async () => {
    const [first, second] = [
      await predict('votes', 'certify=on&lame=off&alpha=1'),
      await predict('votes', 'certify=on&lame=off&alpha=1', pictures.slice(0, 2)),
    ];
    expect(second.predictions).toEqual(first.predictions.slice(0, 2));
    for (const { certificate, top } of first.predictions) {
      expect(certificate).toMatchObject({ norm: 'l2', confidence: 0.99, samples: 200 });
      // Shares of 200 votes.
      for (const { probability } of top)
        expect(Math.abs(probability * 200 - Math.round(probability * 200))).toBeLessThan(1e-3);
      if (top[0].probability < 0.5) expect(certificate?.radius).toBe(0);
    }
    expect((await predict('votes')).predictions[0]).not.toHaveProperty('certificate');
    expect(first.timings_ms.certify).toBeGreaterThan(0);
  });

  it('shows the progress of long certificates', async () => {
    const response = await fetch(`${server.url}/v1/models/votes/predict?certify=on`, {
      method: 'POST',
      headers: { accept: 'text/event-stream' },
      body: formOf(pictures),
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = (await response.text())
      .trim()
      .split('\n\n')
      .map((text) => /^event: (\w+)\ndata: (.*)$/.exec(text)!.slice(1));
    const progress = events
      .filter(([name]) => name === 'progress')
      .map(([, data]) => JSON.parse(data) as object);
    expect(progress.at(-1)).toEqual({ done: 8 * 220, total: 8 * 220 });
    expect(events.at(-1)![0]).toBe('result');
    predictResponseSchema.strict().parse(JSON.parse(events.at(-1)![1]));
  });

  it('tells what went wrong as an event where the answer was to be events', async () => {
    const response = await fetch(`${server.url}/v1/models/votes/predict?certify=on`, {
      method: 'POST',
      headers: { accept: 'text/event-stream' },
      body: formOf([Buffer.from('no picture')]),
    });
    expect(await response.text()).toMatch(/^event: problem\ndata: \{.*"status":4\d\d/);
  });

  it('takes the same options over the Open Inference Protocol', async () => {
    const data = Array.from({ length: 2 * 3 * 32 * 32 }, (_, i) => (i % 255) / 255);
    const request = (parameters: object): object => ({
      inputs: [{ name: 'image', shape: [2, 3, 32, 32], datatype: 'FP32', data }],
      outputs: [{ name: 'probabilities' }, { name: 'alpha' }, { name: 'certified_radius' }],
      parameters,
    });
    const url = `${server.url}/v2/models/adaptive/infer`;
    const outputs = ({ body }: Answer): number[][] =>
      (body['outputs'] as { data: number[] }[]).map(({ data }) => data);
    const mixed = await post(url, request({}));
    expect(mixed.body['parameters']).toMatchObject({ smoothing_mode: 'mixing-network' });
    expect(outputs(mixed)[1]).toHaveLength(2);
    const fixed = await post(url, request({ alpha: 0.75, certify: true }));
    expect(outputs(fixed)[1]).toEqual([0.75, 0.75]);
    const off = await post(url, request({ smoothing: 'off' }));
    expect(outputs(off).slice(1)).toEqual([
      [0, 0],
      [0, 0],
    ]);
    for (const parameters of [{ alpha: 2 }, { alpha: '0.5' }, { smoothing: 'maybe' }, { certify: 1 }]) {
      expect((await post(url, request(parameters))).status, JSON.stringify(parameters)).toBe(400);
    }
  });

  it('counts alpha in its metrics', async () => {
    await predict('adaptive');
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toMatch(/ballast_smoothing_alpha_count\{model="adaptive"\} [1-9]/);
    expect(text).toMatch(/ballast_stage_duration_seconds_count\{model="adaptive",stage="smooth"\} [1-9]/);
  });

  it.each([
    ['pictures', 'alpha=0.5', 422, /no robust classifier.*alpha/],
    ['pictures', 'smoothing=on', 422, /no robust classifier.*smoothing/],
    ['pictures', 'certify=on', 422, /no robust classifier.*certify/],
    ['nonlinear', 'certify=on', 422, /no certificate; smoothing.certificate/],
    ['fixed', 'smoothing=off&alpha=0.5', 422, /smoothing=off takes no alpha/],
    ['fixed', 'alpha=1.5', 400, /"alpha"/],
    ['fixed', 'alpha=-0.1', 400, /"alpha"/],
    ['fixed', 'alpha=NaN', 400, /"alpha"/],
    ['fixed', 'alpha=', 400, /"alpha"/],
    ['fixed', 'smoothing=yes', 400, /"smoothing"/],
  ])('refuses %s?%s with %i', async (model, query, status, detail) => {
    const answer = await ask(`${server.url}/v1/models/${model}/predict?${query}`, {
      method: 'POST',
      body: formOf(pictures.slice(0, 1)),
    });
    expect(answer.status).toBe(status);
    expect(answer.body['detail']).toMatch(detail);
  });
});

describe('a model.yaml that cannot be mixed', () => {
  const adaptive = `mixing: mixing.onnx, ${FEATURES}, alpha: { bias: 0.5, scale: 0.4 }`;
  it.each<[string, string, Parameters<typeof addMixture>[3], RegExp]>([
    [
      'other classes',
      'alpha: 0.5',
      { robust: 'add_sub-fp32' },
      /no logits were found in robust.onnx|is none that the classifier takes/,
    ],
    ['an alpha above 1', 'alpha: 1.5', {}, /model.yaml:5: smoothing.alpha: found 1.5/],
    ['a range above 1', 'mixing: mixing.onnx, alpha: { bias: 0.9, scale: 0.2 }', {}, /add up to 1/],
    [
      'a fixed alpha for a network',
      'mixing: mixing.onnx, alpha: 0.5',
      {},
      /smoothing.alpha.*range of the mixing/,
    ],
    [
      'a range without a network',
      'alpha: { bias: 0.5, scale: 0.2 }',
      {},
      /a number in \[0, 1\] in mode fixed/,
    ],
    [
      'a feature without a source',
      'mixing: mixing.onnx, alpha: { bias: 0.5, scale: 0.4 }',
      {},
      /"standard" of mixing.onnx has no source/,
    ],
    [
      'an input that is none',
      adaptive.replace('{ standard:', '{ other: "standard:x", standard:'),
      {},
      /names "other"; the inputs of mixing.onnx are "standard", "robust"/,
    ],
    [
      'a tensor that is none',
      adaptive.replace('/Flatten_output_0', '/Flaten_output_0'),
      {},
      /Flaten_output_0.*\/Flatten_output_0/s,
    ],
    [
      'inputs that do not fit',
      adaptive,
      { mixing: mixingNetwork(7) },
      /mixing.onnx cannot run on what it is fed, standard \[1, 48\]/,
    ],
    ['a key that is none', 'alpha: 0.5, robustscale: 2', {}, /did you mean "robustScale"/],
    ['a file that is missing', 'alpha: 0.5, mode: nonlinear', {}, /nonlinear.*\{ scale, power, shift \}/],
  ])('is refused: %s', async (_, smoothing, options, detail) => {
    await addMixture(server.folder, 'wrong', smoothing, options);
    const answer = await load('wrong');
    expect(answer.status).toBe(422);
    expect(String(answer.body['error'])).toMatch(detail);
    expect((await predict('fixed')).predictions).toHaveLength(8);
  });

  it('is refused: classifiers of different numbers of classes', async () => {
    const target = join(server.folder, 'wrong');
    await addMixture(server.folder, 'wrong', 'alpha: 0.5');
    await writeFile(join(target, 'robust.onnx'), threeClasses());
    expect(JSON.stringify((await load('wrong')).body)).toMatch(
      /the classifier answers 10 classes and robust.onnx 3; they must be the same/,
    );
    await writeFile(
      join(target, 'model.yaml'),
      'name: wrong\ninputs: { image: { kind: image, width: 32, height: 32 } }\nclassifier: { file: standard.onnx }\nsmoothing: { alpha: 0.5 }\n',
    );
    expect(JSON.stringify((await load('wrong')).body)).toMatch(
      /robust and smoothing go together.*robust is missing/,
    );
    await writeFile(
      join(target, 'model.yaml'),
      'name: wrong\ntask: raw\nclassifier: { file: standard.onnx }\nrobust: { file: robust.onnx }\nsmoothing: { alpha: 0.5 }\n',
    );
    expect(JSON.stringify((await load('wrong')).body)).toMatch(/only classifiers can be mixed/);
  });
});

/** A linear classifier of three classes on the means of the colours. */
function threeClasses(): Uint8Array {
  const graph = new GraphBuilder('three');
  const image = graph.input('image', 'float32', ['N', 3, 32, 32]);
  const flat = graph.node('Flatten', [graph.node('GlobalAveragePool', [image])]);
  const weights = graph.constant({
    type: 'float32',
    dims: [3, 3],
    data: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1),
  });
  graph.node('Gemm', [flat, weights], {}, 'logits');
  graph.output('logits', 'float32', ['N', 3]);
  return encodeModel(graph);
}
