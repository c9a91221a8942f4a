import { availableParallelism } from 'node:os';
import { AnsweringProcess } from './answering-process.js';
import { NETWORKS, PAYLOADS, type Network, type Payload } from './cell.js';
import type { LaneQuestion, LaneSettings } from './floor-process.js';
import type { Measurement } from './measurement.js';

/** A way to use the cores: `lanes` processes side by side, each with `threads` of onnxruntime. */
interface FloorSettings extends LaneSettings {
  readonly lanes: number;
}

/**
 * What onnxruntime and sharp alone do on these cores: no HTTP, whole batches, the next one always there. Their best
 * settings are searched first, for each network and payload.
 */
export class Floor {
  private readonly best = new Map<string, FloorSettings>();

  private constructor(
    private readonly lanes: readonly AnsweringProcess<LaneQuestion, number>[],
    private readonly files: ReadonlyMap<Network, string>,
  ) {}

  /**
   * Starts the processes and searches the best settings.
   * @param seconds - that each of the settings is tried
   */
  static async start(
    files: ReadonlyMap<Network, string>,
    pictures: readonly Uint8Array[],
    samples: readonly Float32Array[],
    seconds: number,
  ): Promise<Floor> {
    const cores = availableParallelism();
    const lanes = Array.from(
      { length: cores },
      () => new AnsweringProcess<LaneQuestion, number>(new URL('./floor-process.ts', import.meta.url)),
    );
    const floor = new Floor(lanes, files);
    await Promise.all(lanes.map((lane) => lane.ask({ kind: 'keep', pictures, samples })));
    for (const network of NETWORKS) {
      for (const payload of PAYLOADS) await floor.search(network, payload, seconds);
    }
    return floor;
  }

  /** Images a second at the best settings. */
  async measure(network: Network, payload: Payload, seconds: number): Promise<Measurement> {
    const settings = this.best.get(`${network} ${payload}`)!;
    return { imagesPerSecond: await this.run(network, payload, settings, seconds) };
  }

  /** The best settings, in words. */
  describe(network: Network, payload: Payload): string {
    const { lanes, threads, batch, overlap, spin } = this.best.get(`${network} ${payload}`)!;
    const decoding = payload === 'oip' ? '' : overlap ? ', decoding meanwhile' : ', decoding between';
    return `${lanes} x ${threads} threads${spin ? ' that spin' : ''}, batch ${batch}${decoding}`;
  }

  stop(): void {
    for (const lane of this.lanes) lane.stop();
  }

  private async search(network: Network, payload: Payload, seconds: number): Promise<void> {
    let most = 0;
    for (const settings of candidates(payload, this.lanes.length)) {
      // The first run of a batch size pays for memory and kernels; it is not what a server does all day.
      await this.run(network, payload, settings, 0);
      const rate = await this.run(network, payload, settings, seconds);
      if (rate <= most) continue;
      most = rate;
      this.best.set(`${network} ${payload}`, settings);
    }
  }

  private async run(
    network: Network,
    payload: Payload,
    settings: FloorSettings,
    seconds: number,
  ): Promise<number> {
    const file = this.files.get(network)!;
    const rates = await Promise.all(
      this.lanes
        .slice(0, settings.lanes)
        .map((lane) => lane.ask({ kind: 'run', file, payload, settings, seconds })),
    );
    return rates.reduce((sum, rate) => sum + rate, 0);
  }
}

function candidates(payload: Payload, cores: number): FloorSettings[] {
  const splits =
    cores === 1
      ? [[1, 1]]
      : [
          [1, cores],
          [cores, 1],
        ];
  return splits.flatMap(([lanes, threads]) =>
    [4, 8, 16, 32, 64].flatMap((batch) =>
      (payload === 'oip' ? [false] : [false, true]).flatMap((overlap) =>
        (threads === 1 ? [false] : [false, true]).map((spin) => ({ lanes, threads, batch, overlap, spin })),
      ),
    ),
  );
}
