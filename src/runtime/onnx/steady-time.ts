import { isReal } from './element-types.js';
import type { ModelView } from './model-view.js';
import { graphsInside } from './subgraphs.js';

/** Operators whose time depends on the numbers that they are given: how often they go round, which way, how much they find. */
const UNSTEADY = new Set(['Loop', 'Scan', 'If', 'NonZero', 'NonMaxSuppression', 'Unique', 'Range']);

/**
 * Whether a pass takes the same time whatever numbers it is given, so that one measured pass speaks for all of its size:
 * all inputs are real numbers, which nobody takes for counts or sizes, and no operator goes by its values.
 */
export function hasSteadyTime(model: ModelView): boolean {
  if (!model.graph.fedInputs.every(({ elementType }) => isReal(elementType))) return false;
  const scopes = [model.graph, ...model.functionViews];
  return scopes.every(({ nodes }) =>
    nodes.every(
      (node) =>
        !UNSTEADY.has(node.opType) &&
        [...graphsInside(node)].every((inner) => inner.nodes.every(({ opType }) => !UNSTEADY.has(opType))),
    ),
  );
}
