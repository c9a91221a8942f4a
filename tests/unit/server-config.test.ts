import { mkdtemp, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfigFile } from '#ballast/server/config-file.js';
import { configOf, parseConfig, settings } from '#ballast/server/config.js';
import { availableCores } from '#ballast/server/cores.js';

const given = (values: Record<string, unknown>): ReturnType<typeof parseConfig> =>
  parseConfig(
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { value, where: `--${key}` }])),
  );

describe('settings of the server', () => {
  it('have defaults, and derive flag and variable from their name', () => {
    expect(configOf({})).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      models: 'models',
      provider: 'auto',
      maxBodyMb: 100,
      maxFiles: 256,
      repositoryControl: true,
    });
    expect(settings.find(({ key }) => key === 'maxBodyMb')).toMatchObject({
      flag: '--max-body-mb <MB>',
      env: 'BALLAST_MAX_BODY_MB',
      default: '100',
    });
    for (const { description, flag } of settings) {
      expect(description, flag).not.toBe('');
      expect(flag).toMatch(/^--[a-z-]+ <[A-Z]+>$/);
    }
  });

  it('are read from text', () => {
    expect(given({ port: '0', maxBodyMb: '1.5', repositoryControl: 'off', threads: '3' })).toMatchObject({
      port: 0,
      maxBodyMb: 1.5,
      repositoryControl: false,
      threads: 3,
    });
  });

  it.each([
    ['port', '', /--port/],
    ['port', 'abc', /"abc"/],
    ['port', '70000', /65535/],
    ['workers', '1.5', /--workers/],
    ['provider', 'tpu', /"cuda"/],
    ['repositoryControl', 'maybe', /on or off/],
    ['prot', '1', /no such setting.*port/],
  ])('%s = "%s" is refused with a sentence', (key, value, sentence) => {
    expect(() => given({ [key]: value })).toThrow(sentence);
  });

  it('come from a YAML file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ballast-config-'));
    const write = async (text: string): Promise<string> => {
      const file = join(folder, 'ballast.yaml');
      await writeFile(file, text);
      return file;
    };
    const file = await write('port: 9000\nrepositoryControl: off\nmodels: /srv/models\n');
    expect(parseConfig(await readConfigFile(file))).toMatchObject({
      port: 9000,
      repositoryControl: false,
      models: '/srv/models',
    });
    expect(await readConfigFile(await write('# nothing\n'))).toEqual({});
    const wrong = await readConfigFile(await write('logLevel: loud\n'));
    expect(() => parseConfig(wrong)).toThrow(/ballast\.yaml, key "logLevel".*"loud"/);
    await expect(readConfigFile(await write('a: [1\n'))).rejects.toThrow(/ballast\.yaml/);
    await expect(readConfigFile(await write('- a\n'))).rejects.toThrow(/settings/);
    await expect(readConfigFile(join(folder, 'none.yaml'))).rejects.toThrow(/cannot be read/);
  });
});

describe('availableCores', () => {
  it('keeps to the quota of a container', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'ballast-cores-')), 'cpu.max');
    const cores = async (text: string): Promise<number> => {
      await writeFile(file, text);
      return availableCores(file);
    };
    const all = availableParallelism();
    expect(availableCores(`${file}-none`)).toBe(all);
    expect(await cores('max 100000\n')).toBe(all);
    expect(await cores('50000 100000\n')).toBe(1);
    expect(await cores('150000 100000\n')).toBe(Math.min(2, all));
    expect(await cores('99900000 100000\n')).toBe(all);
    expect(await cores('nonsense')).toBe(all);
  });
});
