import { availableParallelism } from 'node:os';
import { AnsweringProcess } from './answering-process.js';
import { NETWORKS, PAYLOADS, type Network, type Payload } from './cell.js';
import type { LaneQuestion, LaneSettings } from './floor-process.js';
import type { Measurement } from './measurement.js';

/** A way to use the cores: `lanes` processes side by side, each with `threads` of onnxruntime. */
interface FloorSettings extends LaneSettings {
  readonly lanes: number;
  /** Pictures that each process decodes at once: threads of its libuv. libvips is slower the more there are. */
  readonly decoders: number;
}

type Lane = AnsweringProcess<LaneQuestion, number>;

const DECODERS = [1, 4];
const BATCHES = [8, 16, 32, 64];

/**
 * What onnxruntime and sharp alone do on these cores: no HTTP, whole batches, the next one always there. Their best
 * settings are searched first, for each network and payload.
 */
export class Floor {
  private readonly best = new Map<string, FloorSettings>();

  private constructor(
    private readonly lanes: ReadonlyMap<number, readonly Lane[]>,
    private readonly files: ReadonlyMap<Network, string>,
  ) {}

  /**
   * Starts the processes and searches the best settings.
   * @param seconds - that each of the settings is tried, in two parts
   */
  static async start(
    files: ReadonlyMap<Network, string>,
    pictures: readonly Uint8Array[],
    samples: readonly Float32Array[],
    seconds: number,
  ): Promise<Floor> {
    const cores = availableParallelism();
    const module = new URL('./floor-process.ts', import.meta.url);
    const lanes = new Map(
      DECODERS.map((decoders) => {
        const env = { UV_THREADPOOL_SIZE: String(decoders) };
        return [decoders, Array.from({ length: cores }, (): Lane => new AnsweringProcess(module, env))];
      }),
    );
    const floor = new Floor(lanes, files);
    await Promise.all(floor.all.map((lane) => lane.ask({ kind: 'keep', pictures, samples })));
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
    const { lanes, threads, batch, overlap, spin, decoders } = this.best.get(`${network} ${payload}`)!;
    const when = overlap ? 'meanwhile' : 'in between';
    const decoding = payload === 'oip' ? '' : `, ${decoders} decoded at once ${when}`;
    return `${lanes} x ${threads} threads${spin ? ' that spin' : ''}, batch ${batch}${decoding}`;
  }

  stop(): void {
    for (const lane of this.all) lane.stop();
  }

  private get all(): Lane[] {
    return [...this.lanes.values()].flat();
  }

  private async search(network: Network, payload: Payload, seconds: number): Promise<void> {
    let most = 0;
    // Two passes, the better one counts: whatever else the machine does for a moment can only slow a setting down.
    for (let pass = 0; pass < 2; pass++) {
      for (const settings of candidates(payload)) {
        // The first run of a batch size pays for memory and kernels; it is not what a server does all day.
        if (pass === 0) await this.run(network, payload, settings, 0);
        const rate = await this.run(network, payload, settings, seconds / 2);
        if (rate <= most) continue;
        most = rate;
        this.best.set(`${network} ${payload}`, settings);
      }
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
        .get(settings.decoders)!
        .slice(0, settings.lanes)
        .map((lane) => lane.ask({ kind: 'run', file, payload, settings, seconds })),
    );
    return rates.reduce((sum, rate) => sum + rate, 0);
  }
}

function candidates(payload: Payload): FloorSettings[] {
  const cores = availableParallelism();
  const splits =
    cores === 1
      ? [[1, 1]]
      : [
          [1, cores],
          [cores, 1],
        ];
  const all: FloorSettings[] = [];
  for (const [lanes, threads] of splits) {
    for (const batch of BATCHES) {
      for (const spin of threads === 1 ? [false] : [false, true]) {
        for (const overlap of payload === 'oip' ? [false] : [false, true]) {
          for (const decoders of payload === 'oip' ? [1] : DECODERS) {
            all.push({ lanes, threads, batch, overlap, spin, decoders });
          }
        }
      }
    }
  }
  return all;
}
