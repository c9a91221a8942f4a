import { describe, expect, it } from 'vitest';
import { parseConditions } from '#ballast/eval/condition.js';
import { parseLabels } from '#ballast/eval/labels-csv.js';
import { chooseEntries } from '#ballast/eval/labelled-pictures.js';
import { combinationsOf, parseMethods, type MethodPart } from '#ballast/eval/method.js';
import { evalSettings, parseEvalOptions } from '#ballast/eval/options.js';

const names = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name);

describe('parseConditions', () => {
  it('takes names with and without severity, each once', () => {
    expect(names(parseConditions('clean, fog, fog:3,snow:5'))).toEqual(['clean', 'fog:3', 'snow:5']);
    const all = parseConditions('all:2');
    expect(all).toHaveLength(16);
    expect(all[1]).toEqual({ name: 'gaussian-noise:2', corruption: { name: 'gaussian-noise', severity: 2 } });
  });

  it('suggests what was meant', () => {
    expect(() => parseConditions('gausian-noise:3')).toThrow('did you mean "gaussian-noise"?');
    for (const wrong of ['fog:6', 'fog:', 'fog:1:2', 'clean:1', 'all:0', 'fog:2.5']) {
      expect(() => parseConditions(wrong)).toThrow();
    }
  });
});

describe('methods', () => {
  it('combines what there is, but LAME with itself', () => {
    expect(names(combinationsOf(['lame', 'lame-auto', 'smoothing']))).toEqual([
      ...['base', 'lame', 'lame-auto', 'smoothing'],
      ...['lame+smoothing', 'lame-auto+smoothing'],
    ]);
  });

  it('always measures the base model, and orders the parts', () => {
    expect(names(parseMethods('smoothing+lame, prompt', new Map()))).toEqual([
      'base',
      'lame+smoothing',
      'prompt',
    ]);
  });

  it('says why a model cannot', () => {
    const reasons = new Map<MethodPart, string>([['smoothing', 'no robust classifier.']]);
    expect(() => parseMethods('lame+smoothing', reasons)).toThrow(
      '--methods names smoothing: no robust classifier.',
    );
    expect(() => parseMethods('lam', reasons)).toThrow('did you mean "lame"?');
    expect(() => parseMethods('lame+lame-auto', reasons)).toThrow('names LAME twice');
  });
});

describe('parseEvalOptions', () => {
  it('fills in what the help says', () => {
    const options = parseEvalOptions({ model: 'm', data: 'd', samples: '50' });
    expect(options).toMatchObject({
      samples: 50,
      seed: 0,
      batches: [1, 64],
      out: 'report',
      calibrate: false,
    });
    expect(names(options.streams)).toEqual(['shuffled', 'runs:40', 'dirichlet:0.1']);
    for (const { key, description } of evalSettings) {
      if (key === 'streams') expect(description).toContain('default: shuffled,runs:40,dirichlet:0.1');
      if (key === 'model') expect(description).not.toContain('default');
    }
  });

  it('tells every mistake', () => {
    const read = (): unknown =>
      parseEvalOptions({ data: 'd', samples: 'many', batches: '0', streams: 'run:3' });
    for (const part of ['Say --model', '--samples "many"', '--batches "0"', 'did you mean "runs"?']) {
      expect(read).toThrow(part);
    }
  });
});

describe('parseLabels', () => {
  it('reads lines with and without quotes, and a head', () => {
    expect(parseLabels('File,Label\r\na.jpg,cat\r\n"b, ""c"".jpg", dog \r\n\r\n', 'labels.csv')).toEqual([
      { file: 'a.jpg', label: 'cat' },
      { file: 'b, "c".jpg', label: 'dog' },
    ]);
  });

  it('names the line that is wrong', () => {
    expect(() => parseLabels('a.jpg,cat\nb.jpg\n', 'labels.csv')).toThrow('labels.csv:2: found "b.jpg"');
    expect(() => parseLabels('a.jpg,cat,1', 'labels.csv')).toThrow('labels.csv:1');
    expect(() => parseLabels('\n', 'labels.csv')).toThrow('is empty');
  });
});

describe('chooseEntries', () => {
  const entries = Array.from({ length: 100 }, (_, i) => ({
    name: String(i).padStart(3, '0'),
    label: i < 90 ? 0 : 1,
  }));

  it('takes all classes alike, as far as they go, in the order of names', () => {
    const chosen = chooseEntries(entries, 30, 1);
    expect(chosen.filter(({ label }) => label === 1)).toHaveLength(10);
    expect(names(chosen)).toEqual(names(chosen).toSorted());
    expect(chooseEntries(entries, 30, 1)).toEqual(chosen);
    expect(chooseEntries(entries, 30, 2)).not.toEqual(chosen);
    expect(chooseEntries(entries, 1000, 1)).toEqual(entries);
  });
});
