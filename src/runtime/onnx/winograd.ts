import { constantField, GraphBuilder, type Attribute, type ConstantTensor } from './graph-builder.js';
import { fieldsOf } from './graph-fields.js';
import type { Rows } from './minimal-filtering.js';
import { ModelView } from './model-view.js';
import { Splice } from './splice.js';
import { UniqueNames } from './unique-names.js';
import { winogradLayers, type Tiling, type WinogradLayer } from './winograd-layers.js';

/** Reshape takes its target as an input since this operator set. */
const OLDEST_OPSET = 5;

/**
 * The same network with Winograd's minimal filtering in the place of its larger 3 × 3 convolutions: for tiles of 4 × 4
 * it multiplies 36 times instead of 144. onnxruntime has no such operator, so a layer becomes a graph of those it has:
 * four small matrix products before and after, and one convolution of 1 × 1 in a group for each of the 36 positions.
 *
 * Its answers differ from the network's own in the last digits (of float32, some 1e-5 of the largest number of a
 * layer). For single samples it is slower: its weights are four times as large, and are read once for a whole batch.
 *
 * @param bytes - an ONNX model, which is not changed
 * @returns undefined where the model has no layer that this makes faster, or none whose plane has a known size
 * @throws BallastError invalid-model where it is no ONNX model
 */
export function withWinograd(bytes: Uint8Array): Uint8Array | undefined {
  const view = new ModelView(bytes);
  if ((view.opsets.get('') ?? 0) < OLDEST_OPSET) return undefined;
  const layers = winogradLayers(view);
  if (layers.length === 0) return undefined;
  const names = new UniqueNames(view, []);
  const splice = new Splice(view);
  for (const layer of layers) {
    const weight = names.tensor(`${layer.node.inputs[1]}/winograd`);
    const { nodes, constants } = fieldsOf(layerGraph(layer, weight, names));
    // Piece by piece, since joined they would be copied once more.
    for (const piece of constantField(positionWeights(layer), weight)) splice.insert(layer.node.start, piece);
    splice.replace(layer.node.start, layer.node.end, Buffer.concat([constants, nodes]));
  }
  return splice.finish();
}

/**
 * A layer as a graph. Along an axis of a plane, a position is a tile and a number within it; below, `[th, ph]` are
 * those of the rows, `[tw, pw]` those of the columns.
 * @param weight - the name of what positionWeights gives
 */
function layerGraph(layer: WinogradLayer, weight: string, names: UniqueNames): GraphBuilder {
  const { node, rows, columns, inputChannels, outputChannels } = layer;
  const input = node.inputs[0];
  const bias = node.inputs.at(2) ?? '';
  const graph = new GraphBuilder(names.tensor(`${node.outputs[0]}/winograd`));
  const reshape = (tensor: string, dims: readonly number[]): string => {
    const data = BigInt64Array.from(dims.map(BigInt));
    return graph.node('Reshape', [tensor, graph.constant({ type: 'int64', dims: [dims.length], data })]);
  };
  const transpose = (tensor: string, perm: readonly number[], output?: string): string =>
    graph.node('Transpose', [tensor], { perm: { ints: perm } }, output);
  const multiply = (matrix: Rows, tensor: string): string => {
    const dims = [matrix.length, matrix[0].length];
    return graph.node('MatMul', [
      graph.constant({ type: 'float32', dims, data: Float32Array.from(matrix.flat()) }),
      tensor,
    ]);
  };
  const [th, ph, tw, pw] = [rows.tiles, rows.algorithm.positions, columns.tiles, columns.algorithm.positions];
  const [height, width] = [rows.size, columns.size];

  // [N, C, H, W] -> [N, th, tw, ph, pw, C]: what is made of the input, the rows first.
  let x = transpose(input, [0, 2, 3, 1]);
  x = multiply(inputMatrix(rows), reshape(x, [0, height, width * inputChannels]));
  x = multiply(inputMatrix(columns), reshape(x, [-1, width, inputChannels]));
  x = transpose(reshape(x, [-1, th, ph, tw, pw * inputChannels]), [0, 1, 3, 2, 4]);

  // All tiles of the batch as the pixels of one picture, whose channels are those of every position.
  x = transpose(reshape(x, [1, -1, 1, ph * pw * inputChannels]), [0, 3, 1, 2]);
  const attributes: Record<string, Attribute> = { group: { int: ph * pw }, kernel_shape: { ints: [1, 1] } };
  x = graph.node('Conv', [x, weight], attributes);
  x = transpose(x, [0, 2, 3, 1]);

  // [N, th, tw, ph, pw, K] -> [N, K, H, W]: the products put together, the columns first.
  x = transpose(reshape(x, [-1, th, tw, ph, pw * outputChannels]), [0, 1, 3, 2, 4]);
  x = multiply(outputMatrix(columns), reshape(x, [-1, tw * pw, outputChannels]));
  x = multiply(outputMatrix(rows), reshape(x, [-1, th * ph, width * outputChannels]));
  x = reshape(x, [-1, height, width, outputChannels]);
  if (bias !== '') x = graph.node('Add', [x, bias]);
  transpose(x, [0, 3, 1, 2], node.outputs[0]);
  return graph;
}

/** `[tiles * n, size]`: what is made of the numbers along an axis; around them are zeros. */
function inputMatrix({ size, tiles, algorithm }: Tiling): Rows {
  return Array.from({ length: tiles }, (_, tile) =>
    algorithm.input.map((row) =>
      Array.from({ length: size }, (_, at) => row[at + 1 - tile * algorithm.outputs] ?? 0),
    ),
  ).flat();
}

/** `[size, tiles * n]`: how the numbers along an axis are put together; what the last tile has beyond it is left out. */
function outputMatrix({ size, tiles, algorithm }: Tiling): Rows {
  const { outputs, positions, output } = algorithm;
  return Array.from({ length: size }, (_, at) =>
    Array.from({ length: tiles }, (_, tile) =>
      Math.floor(at / outputs) === tile ? output[at % outputs] : Array<number>(positions).fill(0),
    ).flat(),
  );
}

/** `[ph * pw * K, C, 1, 1]`: what is made of the filters, position by position. */
function positionWeights({
  weight,
  rows,
  columns,
  inputChannels,
  outputChannels,
}: WinogradLayer): ConstantTensor {
  const [byRows, byColumns] = [rows.algorithm.filter, columns.algorithm.filter];
  const [ph, pw] = [byRows.length, byColumns.length];
  const data = new Float32Array(ph * pw * outputChannels * inputChannels);
  // Of one output, so that what is read again is near: for each row and tap, a number an input.
  const between = Array.from({ length: ph * 3 }, () => new Float64Array(inputChannels));
  for (let output = 0; output < outputChannels; output++) {
    const taps = weight.subarray(9 * output * inputChannels, 9 * (output + 1) * inputChannels);
    between.forEach((numbers, at) => {
      const [a, b, c] = byRows[Math.floor(at / 3)];
      const tap = at % 3;
      for (let input = 0; input < inputChannels; input++) {
        const from = 9 * input + tap;
        numbers[input] = a * taps[from] + b * taps[from + 3] + c * taps[from + 6];
      }
    });
    for (let position = 0; position < ph * pw; position++) {
      const [a, b, c] = byColumns[position % pw];
      const row = 3 * Math.floor(position / pw);
      const [one, two, three] = [between[row], between[row + 1], between[row + 2]];
      const to = (position * outputChannels + output) * inputChannels;
      for (let input = 0; input < inputChannels; input++) {
        data[to + input] = a * one[input] + b * two[input] + c * three[input];
      }
    }
  }
  return { type: 'float32', dims: [ph * pw * outputChannels, inputChannels, 1, 1], data };
}
