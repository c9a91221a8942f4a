import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { listSupportedBackends } from 'onnxruntime-node';

/** Where a model can run. `auto` stands for the first of cuda, webgpu and cpu that works. */
export type ProviderChoice = 'auto' | 'cuda' | 'webgpu' | 'cpu';
export type Provider = Exclude<ProviderChoice, 'auto'>;

const GPU_DEVICES = ['/dev/dri', '/dev/nvidiactl', '/dev/dxg'];

/**
 * The providers to try, in order. `auto` leaves out what this machine lacks without a word; a provider that was
 * named is always tried, so that its absence is an error and never a silent fallback.
 */
export function providersToTry(choices: readonly ProviderChoice[]): Provider[] {
  const order = choices.flatMap((choice) =>
    choice === 'auto' ? (['cuda', 'webgpu', 'cpu'] as const).filter(isInstalled) : [choice],
  );
  return [...new Set(order)];
}

/** Whether the provider can be hoped for: its libraries are here and, as far as files tell, a device is. */
function isInstalled(provider: Provider): boolean {
  if (
    provider === 'webgpu' &&
    process.platform === 'linux' &&
    !GPU_DEVICES.some((path) => existsSync(path))
  ) {
    return false;
  }
  if (provider !== 'cuda') return listSupportedBackends().some(({ name }) => name === provider);
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const library =
    process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so';
  return existsSync(join(folder, 'bin', 'napi-v6', process.platform, process.arch, library));
}
