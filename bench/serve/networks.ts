import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { IMAGE, NETWORKS, type Network } from './cell.js';
import type { NetworkNames } from './requests.js';

const SCRIPT = 'models/train/bench_networks.py';

/**
 * The ONNX files of both networks, which are made where they are missing and Python with torch is there.
 * @param folder - where they are kept
 * @param python - the interpreter
 * @throws Error that says how to make them
 */
export function findNetworks(folder: string, python: string): Map<Network, string> {
  const files = new Map(NETWORKS.map((network) => [network, join(folder, `${network}.onnx`)]));
  const missing = (): boolean => [...files.values()].some((file) => !existsSync(file));
  if (missing()) {
    const { stderr, error } = spawnSync(python, [SCRIPT, folder], { encoding: 'utf8' });
    if (missing()) {
      throw new Error(
        `There are no networks in ${folder}, and ${python} ${SCRIPT} ${folder} did not make them. It needs ` +
          'models/train/requirements.txt; name an interpreter that has it by PYTHON, or a folder with ' +
          `small.onnx and large.onnx by --networks.\n${error?.message ?? stderr}`,
      );
    }
  }
  return files;
}

/** What the file calls its input and its first output. */
export async function networkNames(file: string): Promise<NetworkNames> {
  const { inputs, outputs } = inspectModel(await readFile(file));
  return { input: inputs[0].name, output: outputs[0].name };
}

/**
 * Writes a model folder for a network.
 * @param directory - the folder of models
 * @param more - keys of model.yaml on top
 */
export async function writeModel(
  directory: string,
  name: string,
  file: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const folder = join(directory, name);
  await mkdir(folder, { recursive: true });
  await copyFile(file, join(folder, 'network.onnx'));
  const config = {
    name,
    inputs: { image: { kind: 'image', fit: 'fill', ...IMAGE } },
    classifier: { file: 'network.onnx' },
    ...more,
  };
  await writeFile(join(folder, 'model.yaml'), stringify(config, { aliasDuplicateObjects: false }));
}
