import type { ModulatedLayer, ModulationSets } from '../../adapt/modulation.js';
import type { Batch, Stage } from '../pipeline.js';

/** Gives each sample the scales and shifts for the modalities that arrived of it. */
export class ModulateStage implements Stage {
  readonly name = 'modulate';
  readonly mixesSamples = false;

  /**
   * @param modalities - the inputs of model.yaml
   * @param layers - the layers of the network that the sets change
   */
  constructor(
    private readonly sets: ModulationSets,
    private readonly modalities: readonly string[],
    private readonly layers: readonly ModulatedLayer[],
  ) {}

  run(batch: Batch): Promise<void> {
    const arrived = batch.arrived ?? Array.from({ length: batch.count }, () => this.modalities);
    const missing = arrived.map((names) => this.modalities.filter((name) => !names.includes(name)));
    const unset = arrived.map((names, i) =>
      missing[i].length > 0 && !this.sets.has(names) ? names.join(',') : undefined,
    );
    batch.inputs = { ...batch.inputs, ...this.sets.inputsFor(this.layers, arrived) };
    batch.modulation = { missing, unset };
    return Promise.resolve();
  }
}
