import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import pino from 'pino';
import { createServer } from '#ballast/server/app.js';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { readFile } from 'node:fs/promises';

/** A picture, encoded, and its class. */
export interface EncodedPicture {
  readonly png: Uint8Array;
  readonly label: string;
}

/** What came of a fit. */
export interface FittedPrompt {
  readonly version: string;
  readonly active: boolean;
  readonly queries: number;
  readonly seconds: number;
}

/** The model as it is, and one whose encoder says nothing, so that every picture gets the same prompt. */
export type Encoder = 'coordinator' | 'universal';

interface Job {
  readonly id: string;
  readonly state: string;
  readonly error?: { readonly detail: string };
  readonly progress: { readonly queries: number };
  readonly result: { readonly prompt: string; readonly active: boolean };
}

const PICTURES_A_REQUEST = 100;

/** A server with copies of a model, over HTTP. */
export class ServedDigits {
  private constructor(
    private readonly url: string,
    private readonly stop: () => Promise<void>,
  ) {}

  /** Copies the model into a folder of its own and serves it. */
  static async start(model: string): Promise<ServedDigits> {
    const models = await mkdtemp(join(tmpdir(), 'ballast-prompt-'));
    const file = await readFile(join(model, 'coordinator.onnx'));
    const yaml = await readFile(join(model, 'model.yaml'), 'utf8');
    for (const encoder of ['coordinator', 'universal'] satisfies Encoder[]) {
      const folder = join(models, encoder);
      const filter = (path: string): boolean => basename(path) !== 'prompts';
      await cp(model, folder, { recursive: true, filter });
      await writeFile(join(folder, 'model.yaml'), yaml.replace(/^name: .*$/m, `name: ${encoder}`));
      if (encoder === 'universal')
        await writeFile(
          join(folder, 'coordinator.onnx'),
          blindEncoder(inspectModel(file).outputs[0].dims[1]),
        );
    }
    const server = await createServer({ models, port: 0 }, pino({ level: 'silent' }));
    const { url } = await server.listen();
    return new ServedDigits(url, async () => {
      await server.close();
      await rm(models, { recursive: true });
    });
  }

  /** Fits a prompt in a job and waits for its end. */
  async fit(
    encoder: Encoder,
    shots: readonly EncodedPicture[],
    options: Readonly<Record<string, string | number>>,
  ): Promise<FittedPrompt> {
    const form = new FormData();
    for (const { png, label } of shots) {
      form.append('image', new Blob([Uint8Array.from(png)]), 'shot.png');
      form.append('label', label);
    }
    const query = new URLSearchParams(
      Object.entries(options).map(([name, value]): [string, string] => [name, String(value)]),
    );
    const begin = performance.now();
    const answer = await fetch(`${this.url}/v1/models/${encoder}/prompts?${query.toString()}`, {
      method: 'POST',
      body: form,
    });
    let job = (await answer.json()) as Job;
    if (answer.status !== 202) throw new Error(JSON.stringify(job));
    // The last event comes when the job ends.
    await (await fetch(`${this.url}/v1/jobs/${job.id}/events`)).text();
    job = (await (await fetch(`${this.url}/v1/jobs/${job.id}`)).json()) as Job;
    if (job.state !== 'succeeded') throw new Error(job.error?.detail ?? job.state);
    const { prompt: version, active } = job.result;
    const seconds = (performance.now() - begin) / 1000;
    return { version, active, queries: job.progress.queries, seconds };
  }

  /** Share of right answers, in [0, 1], with a version's prompts or `off`. */
  async accuracy(encoder: Encoder, prompt: string, pictures: readonly EncodedPicture[]): Promise<number> {
    let right = 0;
    for (let begin = 0; begin < pictures.length; begin += PICTURES_A_REQUEST) {
      const some = pictures.slice(begin, begin + PICTURES_A_REQUEST);
      const form = new FormData();
      for (const { png } of some) form.append('image', new Blob([Uint8Array.from(png)]), 'test.png');
      const query = `prompt=${prompt}&lame=off&top=1`;
      const answer = await fetch(`${this.url}/v1/models/${encoder}/predict?${query}`, {
        method: 'POST',
        body: form,
      });
      const { predictions } = (await answer.json()) as { predictions: { label: string }[] };
      right += predictions.filter(({ label }, i) => label === some[i].label).length;
    }
    return right / pictures.length;
  }

  async close(): Promise<void> {
    await this.stop();
  }
}

/** An encoder whose z is 0 for every picture: what is left of a Coordinator is its trigger, the same for all. */
function blindEncoder(size: number): Uint8Array {
  const graph = new GraphBuilder('blind');
  graph.input('image', 'float32', ['N', 3, 'H', 'W']);
  const count = graph.node('Shape', ['image'], { start: { int: 0 }, end: { int: 1 } });
  const width = graph.constant({ type: 'int64', dims: [1], data: BigInt64Array.of(BigInt(size)) });
  const zero = { type: 'float32' as const, dims: [1], data: Float32Array.of(0) };
  const shape = graph.node('Concat', [count, width], { axis: { int: 0 } });
  graph.node('ConstantOfShape', [shape], { value: { tensor: zero } }, 'z');
  graph.output('z', 'float32', ['N', size]);
  return encodeModel(graph);
}
