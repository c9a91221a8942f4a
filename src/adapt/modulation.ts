import { BallastError } from '../errors.js';
import { readSafetensors } from '../runtime/safetensors.js';
import type { Tensor } from '../runtime/tensor.js';

/** A layer of a network that can be modulated. */
export interface ModulatedLayer {
  readonly name: string;
  readonly channels: number;
  /** Graph inputs `[N, channels]` of its scale and shift. */
  readonly gamma: string;
  readonly beta: string;
}

/** One scale and shift a layer, by layer: the set of a combination of modalities. */
type ModulationSet = ReadonlyMap<string, { readonly gamma: Float32Array; readonly beta: Float32Array }>;

/** The scale-and-shift sets of a network, one for each combination of modalities that may arrive alone. */
export class ModulationSets {
  private constructor(
    private readonly sets: ReadonlyMap<string, ModulationSet>,
    private readonly file: string,
  ) {}

  /**
   * Reads a safetensors file whose tensors are called `<combination>:<layer>.gamma` and `….beta`, the combination
   * being the modalities that arrive, separated by commas.
   * @param file - names it in errors
   * @throws BallastError invalid-model where a name is none of these, or a layer has one of the two alone
   */
  static read(bytes: Uint8Array, file: string): ModulationSets {
    const sets = new Map<string, Map<string, { gamma?: Float32Array; beta?: Float32Array }>>();
    const refuse = (why: string): BallastError => new BallastError('invalid-model', `${file}: ${why}.`);
    for (const [key, { data }] of readSafetensors(bytes, file).tensors) {
      const found = /^([^:]+):(.+)\.(gamma|beta)$/.exec(key);
      if (found === null) {
        throw refuse(`"${key}" is no tensor of a set; one is called <modalities>:<layer>.gamma or ….beta`);
      }
      const [, names, layer, kind] = found;
      const combination = keyOf(names.split(','));
      const set = sets.get(combination) ?? new Map<string, { gamma?: Float32Array; beta?: Float32Array }>();
      sets.set(combination, set);
      set.set(layer, { ...set.get(layer), [kind]: Float32Array.from(data) });
    }
    for (const [combination, set] of sets) {
      for (const [layer, { gamma, beta }] of set) {
        if (gamma === undefined || beta === undefined || gamma.length !== beta.length) {
          throw refuse(`the set for ${combination} needs gamma and beta of the same size for "${layer}"`);
        }
      }
    }
    if (sets.size === 0) throw refuse('it has no sets');
    return new ModulationSets(sets as unknown as ReadonlyMap<string, ModulationSet>, file);
  }

  /** No set at all: every sample gets the identity. */
  static none(): ModulationSets {
    return new ModulationSets(new Map(), 'none');
  }

  /** Names of all layers that any set changes. */
  get layers(): string[] {
    return [...new Set([...this.sets.values()].flatMap((set) => [...set.keys()]))];
  }

  /** The combinations that have a set. */
  get combinations(): string[] {
    return [...this.sets.keys()];
  }

  /** Whether samples of which these modalities arrived have a set. */
  has(arrived: readonly string[]): boolean {
    return this.sets.has(keyOf(arrived));
  }

  /**
   * Whether the sets fit a network.
   * @throws BallastError invalid-model naming the combination, the layer and both sizes
   */
  check(layers: readonly ModulatedLayer[], modalities: readonly string[]): void {
    const refuse = (why: string): BallastError => new BallastError('invalid-model', `${this.file}: ${why}.`);
    for (const [combination, set] of this.sets) {
      const unknown = combination.split(',').find((modality) => !modalities.includes(modality));
      if (unknown !== undefined) {
        throw refuse(`it has a set for "${unknown}", which is no input; there are ${modalities.join(', ')}`);
      }
      for (const [name, { gamma }] of set) {
        const layer = layers.find((one) => one.name === name);
        if (layer === undefined)
          throw refuse(`the set for ${combination} changes "${name}", which the network lacks`);
        if (layer.channels === gamma.length) continue;
        throw refuse(
          `the set for ${combination} has ${gamma.length} channels for "${name}", and the network ${layer.channels}`,
        );
      }
    }
  }

  /**
   * Scales and shifts for a batch: y = γ ⊙ h + β after each layer (Reza et al., 2023). A sample whose combination has
   * no set, or to which all arrived, gets γ = 1 and β = 0.
   * @param arrived - of each sample, the modalities that arrived
   * @returns for each layer its `gamma` and `beta`, `[N, channels]`, by graph input
   */
  inputsFor(
    layers: readonly ModulatedLayer[],
    arrived: readonly (readonly string[])[],
  ): Record<string, Tensor> {
    const sets = arrived.map((modalities) => this.sets.get(keyOf(modalities)));
    const inputs: Record<string, Tensor> = {};
    for (const { name, channels, gamma, beta } of layers) {
      const scales = new Float32Array(arrived.length * channels).fill(1);
      const shifts = new Float32Array(arrived.length * channels);
      sets.forEach((set, row) => {
        const own = set?.get(name);
        if (own === undefined) return;
        scales.set(own.gamma, row * channels);
        shifts.set(own.beta, row * channels);
      });
      const dims = [arrived.length, channels];
      inputs[gamma] = { type: 'float32', dims, data: scales };
      inputs[beta] = { type: 'float32', dims, data: shifts };
    }
    return inputs;
  }
}

/** A combination by its name, whatever the order of its modalities. */
function keyOf(modalities: readonly string[]): string {
  return [...modalities].sort().join(',');
}
