import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runEvalCommand } from '#ballast/eval/eval-command.js';
import { reportSchema, type Report } from '#ballast/eval/report-schema.js';
import { digitPng, digitsFolder } from '../http/support/digits.js';
import { zipOf } from '../fixtures/zip.js';

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `ballast eval` as a user does; `onError` is told of what it writes to standard error. */
async function evaluate(
  flags: readonly string[],
  kill?: { when: RegExp; signal: NodeJS.Signals },
): Promise<Ended> {
  const child = spawn(process.execPath, ['dist/cli.js', 'eval', '--provider', 'cpu', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  if (kill !== undefined) {
    const watch = setInterval(() => {
      void readFile(flags[flags.indexOf('--out') + 1] + '/cells.jsonl', 'utf8').then(
        (text) => {
          if (!child.killed && kill.when.test(text)) child.kill(kill.signal);
        },
        () => undefined,
      );
    }, 5);
    child.once('close', () => {
      clearInterval(watch);
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? -1, out, err };
}

const folder = (): Promise<string> => mkdtemp(join(tmpdir(), 'ballast-eval-'));

// Each run is a process of its own, which a busy machine starts slowly.
describe('ballast eval', { timeout: 120_000 }, () => {
  let models: string;
  let data: string;
  const quick = (out: string): string[] => [
    ...['--model', 'digits', '--models', models, '--data', data, '--out', out],
    ...[
      '--conditions',
      'clean,contrast:1',
      '--streams',
      'shuffled,runs:2',
      '--batches',
      '1,8',
      '--methods',
      'lame',
    ],
  ];
  const reportIn = async (out: string): Promise<Report> =>
    reportSchema.parse(JSON.parse(await readFile(join(out, 'report.json'), 'utf8')));

  beforeAll(async () => {
    models = await digitsFolder();
    data = await folder();
    for (let digit = 0; digit < 10; digit++) {
      await mkdir(join(data, String(digit)));
      for (let i = 0; i < 4; i++) {
        await writeFile(join(data, String(digit), `${i}.png`), await digitPng(digit, i));
      }
    }
  });

  it('goes on after a kill where it was, and tells the same as a run in one go', async () => {
    const [out, whole] = [await folder(), await folder()];
    await writeFile(join(data, '3', 'broken.png'), 'no picture');
    // The first cell with LAME is written when the run is stopped.
    const killed = await evaluate(quick(out), { when: /"method":"lame"/, signal: 'SIGINT' });
    expect(killed.code).toBe(130);
    expect(killed.err).toContain('run the same command again to go on');
    const kept = await readFile(join(out, 'cells.jsonl'), 'utf8');
    await appendFile(join(out, 'cells.jsonl'), '{"key":"cut sho');

    const ended = await evaluate(quick(out));
    expect(ended.code).toBe(0);
    expect(ended.out).toContain('report.html has all numbers');
    // Nothing that was finished is done again.
    expect((await readFile(join(out, 'cells.jsonl'), 'utf8')).startsWith(kept)).toBe(true);
    await evaluate(quick(whole));
    const [resumed, once] = [await reportIn(out), await reportIn(whole)];
    const timeless = ({ cells }: Report): unknown => cells.map((cell) => ({ ...cell, msPerSample: 0 }));
    expect(timeless(resumed)).toEqual(timeless(once));

    expect(resumed.data).toMatchObject({ samples: 40, skipped: [{ file: join('3', 'broken.png') }] });
    expect(resumed.notes.join()).toContain('1 of 41 files could not be read');
    expect(resumed.cells).toHaveLength(2 * 2 * 2 * 2);
    const bases = resumed.cells.filter(({ method, condition }) => method === 'base' && condition === 'clean');
    // Base answers depend on nothing but the picture.
    expect(new Set(bases.map(({ metrics }) => metrics.accuracy.value)).size).toBe(1);
    expect(await readFile(join(out, 'report.md'), 'utf8')).toContain('broken.png');
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('<canvas id="gain"');
  });

  it('reads a zip with a file of labels, mixes conditions in turn and calibrates', async () => {
    const out = await folder();
    const zip = join(out, 'pictures.zip');
    const lines: string[] = ['file,label'];
    const entries = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        // Every fourth label is wrong, so that the model is surer than it should be.
        lines.push(`all/${i}.png,${i % 4 === 0 ? (i + 1) % 10 : i % 10}`);
        return { name: `all/${i}.png`, bytes: await digitPng(i % 10, i) };
      }),
    );
    await writeFile(zip, zipOf(entries));
    await writeFile(join(out, 'labels.csv'), lines.join('\n'));
    const yaml = join(models, 'digits', 'model.yaml');
    const before = await readFile(yaml, 'utf8');
    const flags = [
      '--model',
      'digits',
      '--models',
      models,
      '--data',
      zip,
      '--labels',
      join(out, 'labels.csv'),
    ];
    const ended = await evaluate([
      ...[...flags, '--out', out, '--conditions', 'clean,fog', '--streams', 'mixed', '--batches', '10'],
      ...['--methods', 'base', '--calibrate'],
    ]);
    const after = await readFile(yaml, 'utf8');
    await writeFile(yaml, before);
    expect(ended.code).toBe(0);
    const report = await reportIn(out);
    expect(report.calibration?.written).toBe(true);
    expect(report.calibration!.after.logLoss).toBeLessThan(report.calibration!.before.logLoss);
    expect(report.model.temperature).toBe(report.calibration!.after.temperature);
    expect(after).toContain(`temperature: ${report.model.temperature}`);
    expect(after).toContain('# Fit one with');
    expect(report.cells.map(({ condition, stream }) => [condition, stream])).toEqual([['mixed', 'mixed']]);
  });

  it('writes a reference for drift, which changes no answer and so no finished cell', async () => {
    const [out, more] = [await folder(), await folder()];
    const own = await digitsFolder();
    for (let digit = 0; digit < 10; digit++) {
      await mkdir(join(more, String(digit)));
      for (let i = 0; i < 7; i++) {
        await writeFile(join(more, String(digit), `${i}.png`), await digitPng(digit, i));
      }
    }
    const flags = [
      ...['--model', 'digits', '--models', own, '--data', more, '--out', out, '--reference'],
      ...['--conditions', 'clean', '--streams', 'shuffled', '--batches', '8', '--methods', 'base'],
    ];
    const first = await evaluate(flags);
    expect(first, first.err).toMatchObject({ code: 0 });
    const yaml = await readFile(join(own, 'digits', 'model.yaml'), 'utf8');
    expect(yaml).toContain('monitor: { reference: reference.safetensors }');
    const file = await readFile(join(own, 'digits', 'reference.safetensors'));
    const cells = await readFile(join(out, 'cells.jsonl'), 'utf8');
    const second = await evaluate(flags);
    expect(second, second.err).toMatchObject({ code: 0 });
    expect(await readFile(join(out, 'cells.jsonl'), 'utf8')).toBe(cells);
    expect((await readFile(join(own, 'digits', 'reference.safetensors'))).equals(file)).toBe(true);
    const few = await evaluate([...flags.slice(0, 4), '--data', data, ...flags.slice(6)]);
    expect(few.code).not.toBe(0);
    expect(few.err).toMatch(/64/);
  });

  it('tells mistakes in a sentence, before the long work', async () => {
    const out = await folder();
    const empty = await folder();
    const strange = await folder();
    await mkdir(join(strange, 'zebra'));
    await writeFile(join(strange, 'zebra', '1.png'), await digitPng(1, 1));
    const flags = ['--model', 'digits', '--models', models, '--out', out];
    const cases: [string[], RegExp][] = [
      [[...flags, '--data', empty], /has no pictures; it must have a folder for each class/],
      [[...flags, '--data', strange], /zebra is named after no class of the model; its classes are 0, 1, 2/],
      [
        [...flags, '--data', data, '--methods', 'smoothing'],
        /names smoothing: the model has no robust classifier/,
      ],
      [
        ['--model', 'digit', '--models', models, '--data', data],
        /did you mean "digits"\? The models are digits/,
      ],
    ];
    for (const [own, sentence] of cases) {
      const given = Object.fromEntries(
        own.flatMap((flag, i) => (i % 2 === 0 ? [[flag.slice(2), own[i + 1]]] : [])),
      );
      await expect(runEvalCommand({ ...given, provider: 'cpu' })).rejects.toMatchObject({
        name: 'BallastError',
        message: expect.stringMatching(sentence) as string,
      });
    }
    const { code, err } = await evaluate(['--model', 'digits', '--data', data, '--conditions', 'fogg']);
    expect(code).toBe(1);
    expect(err).toMatch(/^ballast: --conditions "fogg": There is no condition "fogg"; did you mean "fog"\?/);
    expect(err).not.toContain('    at ');
  });
});
