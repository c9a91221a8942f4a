import type { ModelView } from './model-view.js';
import type { ModulationPoint } from './modulation-points.js';
import { graphsInside } from './subgraphs.js';

/** Names that nothing in the model has. */
export class UniqueNames {
  private readonly taken: Set<string>;
  private readonly layers = new Set<string>();
  private readonly bases: ReadonlySet<string>;

  /** @param points - the layers that get names */
  constructor({ graph }: ModelView, points: readonly ModulationPoint[]) {
    this.taken = graph.names();
    for (const { name } of graph.inputs) this.taken.add(name);
    for (const node of graph.nodes) {
      for (const inner of graphsInside(node)) for (const name of inner.names()) this.taken.add(name);
    }
    this.bases = new Set(points.map(({ name }) => name));
  }

  /** A tensor's name, numbered where it is taken. */
  tensor(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.taken.has(name); i++) name = `${wanted}_${i}`;
    this.taken.add(name);
    return name;
  }

  /** A layer's name, numbered where it is another's or one of its inputs would be. */
  layer(wanted: string): string {
    const free = (name: string): boolean =>
      !this.layers.has(name) && !this.taken.has(`${name}.gamma`) && !this.taken.has(`${name}.beta`);
    let name = wanted;
    for (let i = 2; !free(name) || (name !== wanted && this.bases.has(name)); i++) name = `${wanted}_${i}`;
    this.layers.add(name);
    this.taken.add(`${name}.gamma`).add(`${name}.beta`);
    return name;
  }
}
