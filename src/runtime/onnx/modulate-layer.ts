import { FLOAT } from './element-types.js';
import { GraphBuilder } from './graph-builder.js';
import { fieldsOf, type GraphFields } from './graph-fields.js';
import type { ModulationPoint } from './modulation-points.js';
import { renameFirstOutput } from './rename-output.js';
import type { UniqueNames } from './unique-names.js';

/**
 * A layer under another output name, then `gamma * h + beta` under the layer's own.
 * @param bytes - the model
 * @param name - the layer's; its inputs are `<name>.gamma` and `<name>.beta` [N, C], float32
 * @param batch - the name of their batch axis
 */
export function modulateLayer(
  bytes: Uint8Array,
  point: ModulationPoint,
  name: string,
  names: UniqueNames,
  batch: string,
): Omit<GraphFields, 'constants'> {
  const output = point.node.outputs[0];
  const plain = names.tensor(`${output}/plain`);
  const graph = new GraphBuilder(names.tensor(`${name}/modulation`));
  const target = targetShape(graph, point, plain);
  const operand = (which: string): string => {
    const input = graph.input(`${name}.${which}`, 'float32', [batch, point.channels]);
    const shaped = target === undefined ? input : graph.node('Reshape', [input, target]);
    if (point.elementType === 0 || point.elementType === FLOAT) return shaped;
    return graph.node('Cast', [shaped], { to: { int: point.elementType } });
  };
  const [gamma, beta] = [operand('gamma'), operand('beta')];
  graph.node('Add', [graph.node('Mul', [plain, gamma]), beta], {}, output);
  const { nodes, inputs } = fieldsOf(graph);
  return { nodes: Buffer.concat([renameFirstOutput(bytes, point.node, plain), nodes]), inputs };
}

/** The shape that [N, C] gets to line up with a layer's output; undefined where it does as it is. */
function targetShape(
  graph: GraphBuilder,
  { rank, channels, channelsLast }: ModulationPoint,
  plain: string,
): string | undefined {
  if (rank === 2) return undefined;
  const integers = (values: readonly number[]): string =>
    graph.node('Constant', [], {
      value: {
        tensor: { type: 'int64', dims: [values.length], data: BigInt64Array.from(values.map(BigInt)) },
      },
    });
  // 0 keeps the axis as it is: the batch.
  if (rank !== undefined) {
    const ones = Array<number>(rank - 2).fill(1);
    return integers(channelsLast ? [0, ...ones, channels] : [0, channels, ...ones]);
  }
  const count = graph.node('Sub', [graph.node('Shape', [graph.node('Shape', [plain])]), integers([2])]);
  const one = { tensor: { type: 'int64', dims: [1], data: BigInt64Array.of(1n) } } as const;
  const ones = graph.node('ConstantOfShape', [count], { value: one });
  const parts = channelsLast ? [integers([0]), ones, integers([channels])] : [integers([0, channels]), ones];
  return graph.node('Concat', parts, { axis: { int: 0 } });
}
