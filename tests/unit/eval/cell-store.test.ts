import { appendFile, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CellStore } from '#ballast/eval/cell-store.js';

const folder = (): Promise<string> => mkdtemp(join(tmpdir(), 'ballast-cells-'));
const OUTCOME = {
  predicted: Uint32Array.of(1, 0),
  trueProbability: Float32Array.of(0.1, 1 / 3),
  confidence: Float32Array.of(0.9, 0.5),
};

describe('CellStore', () => {
  it('finds cells again, of the same basis alone', async () => {
    const out = join(await folder(), 'new');
    await (
      await CellStore.open(out, { seed: 1 })
    ).put({ method: 'base' }, { outcome: OUTCOME, msPerSample: 2 });
    const again = await CellStore.open(out, { seed: 1 });
    expect(again.get({ method: 'base' })).toEqual({ outcome: OUTCOME, msPerSample: 2 });
    expect(again.get({ method: 'lame' })).toBeUndefined();
    expect((await CellStore.open(out, { seed: 2 })).get({ method: 'base' })).toBeUndefined();
  });

  it('drops a line that was cut short, and goes on behind the sound ones', async () => {
    const out = await folder();
    const path = join(out, 'cells.jsonl');
    await (await CellStore.open(out, 0)).put('one', { msPerSample: 1 });
    const whole = await readFile(path, 'utf8');
    await appendFile(path, whole.slice(0, 20));
    const store = await CellStore.open(out, 0);
    expect(await readFile(path, 'utf8')).toBe(whole);
    await store.put('two', { msPerSample: 2 });
    const again = await CellStore.open(out, 0);
    expect([again.get('one'), again.get('two')]).toEqual([{ msPerSample: 1 }, { msPerSample: 2 }]);
  });

  it.runIf(existsSync('/dev/full'))('says what is kept where the disk is full', async () => {
    const out = await folder();
    const store = await CellStore.open(out, 0);
    await symlink('/dev/full', join(out, 'cells.jsonl'));
    await expect(store.put('one', { msPerSample: 1 })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/ENOSPC.*finished before is kept: make room/) as string,
    });
    expect(store.get('one')).toBeUndefined();
  });

  it('says where no folder can be made', async () => {
    const file = join(await folder(), 'file');
    await writeFile(file, '');
    await expect(CellStore.open(join(file, 'out'), 0)).rejects.toMatchObject({ code: 'unavailable' });
  });
});
