import { encodeModel, GraphBuilder } from '../runtime/onnx/graph-builder.js';
import type { PictureSpace } from '../runtime/picture-space.js';
import { lastChannels, type DecoderPlan } from './decoder-plan.js';
import { countFolded } from './decoder-weights.js';

/** The first version with Gelu. */
const OPSET = 20;

/**
 * An ONNX model of the Coordinator's decoder and of what becomes of a picture: x̃ = clip(x + ε·c(x)) (Oh et al.,
 * "BlackVIP", CVPR 2023, equation 2).
 *
 * A 2×2 transposed convolution of stride 2 makes each pixel into four and looks at no other, so that a block is a
 * matrix product over pixels. V sets of weights run at once.
 *
 * Inputs: pictures `image [N, C, H, W]` (or `[N, H, W, C]`), the encoder's `z [N, D]`, `weights [V, F]` of
 * `foldDecoder`. Output: `prompted [V·N, C, H, W]`, all pictures with the first weights first.
 * With `moments`: besides, `mean_i` and `variance_i` `[V, outputs]` of what block i hands to its activation.
 */
export function decoderModel(
  plan: DecoderPlan,
  space: PictureSpace,
  epsilon: number,
  { moments = false } = {},
): Uint8Array {
  const graph = new GraphBuilder('coordinator');
  const { channels, layout, width, height, low, high } = space;
  const [depth, rows, cols] = plan.latent;
  graph.input(
    'image',
    'float32',
    layout === 'nchw' ? ['N', channels, height, width] : ['N', height, width, channels],
  );
  graph.input('z', 'float32', ['N', plan.zSize]);
  graph.input('weights', 'float32', ['V', countFolded(plan)]);
  const ints = (...values: number[]): string =>
    graph.constant({
      type: 'int64',
      dims: [values.length],
      data: BigInt64Array.from(values, BigInt),
    });
  const reshape = (tensor: string, ...shape: number[]): string =>
    graph.node('Reshape', [tensor, ints(...shape)]);
  const sizeOf = (tensor: string): string =>
    graph.node('Shape', [tensor], { start: { int: 0 }, end: { int: 1 } });
  const [sets, samples] = [sizeOf('weights'), sizeOf('z')];
  const concat = (axis: number, ...parts: string[]): string =>
    graph.node('Concat', parts, { axis: { int: axis } });

  const pieces = splitWeights(graph, plan);
  const spread = (tensor: string, axis: number, size: number): string =>
    graph.node('Expand', [
      graph.node('Unsqueeze', [tensor, ints(axis)]),
      concat(0, sets, samples, ints(size)),
    ]);
  const latent = concat(2, spread('z', 0, plan.zSize), spread(pieces.trigger, 1, plan.triggerSize));
  const cells = graph.node('Transpose', [reshape(latent, 0, 0, depth, rows * cols)], {
    perm: { ints: [0, 1, 3, 2] },
  });
  /** Pixels `[V, N·rows·cols, inputs]` times a matrix `[inputs, 2, 2, outputs]`, in the order of the larger picture. */
  const double = (pixels: string, matrix: string, wide: number, inputs: number, outputs: number): string => {
    const product = graph.node('MatMul', [pixels, reshape(matrix, 0, inputs, 4 * outputs)]);
    // Of each row of pixels the upper halves first, then the lower ones.
    const quarters = reshape(product, 0, -1, wide, 2, 2 * outputs);
    const inOrder = graph.node('Transpose', [quarters], { perm: { ints: [0, 1, 3, 2, 4] } });
    return reshape(inOrder, 0, -1, outputs);
  };
  let pixels = reshape(cells, 0, -1, depth);
  plan.blocks.forEach(({ inputs, outputs }, index) => {
    const { matrix, shift } = pieces.blocks[index];
    const doubled = double(pixels, matrix, cols << index, inputs, outputs);
    const shifted = graph.node('Add', [doubled, reshape(shift, 0, 1, outputs)]);
    if (moments) addMoments(graph, shifted, index, outputs, ints(1));
    pixels = graph.node('Gelu', [shifted]);
  });
  const last = plan.blocks.length;
  const [tall, wide] = [rows << (last + 1), cols << (last + 1)];
  let prompt = double(pixels, pieces.last, cols << last, lastChannels(plan), channels);
  prompt = graph.node('Reshape', [prompt, concat(0, sets, samples, ints(tall, wide, channels))]);
  if (tall !== height || wide !== width) {
    prompt = graph.node('Slice', [prompt, ints(0, 0), ints(height, width), ints(2, 3)]);
  }
  if (layout === 'nchw') {
    prompt = graph.node('Transpose', [prompt], { perm: { ints: [0, 1, 4, 2, 3] } });
  }
  if (epsilon !== 1) prompt = graph.node('Mul', [prompt, floats(graph, [epsilon], [])]);
  const bound = (values: readonly number[]): string =>
    floats(graph, values, layout === 'nchw' ? [channels, 1, 1] : [channels]);
  const shape = layout === 'nchw' ? [channels, height, width] : [height, width, channels];
  const added = reshape(graph.node('Add', [prompt, 'image']), -1, ...shape);
  graph.node('Min', [graph.node('Max', [added, bound(low)]), bound(high)], {}, 'prompted');
  graph.output('prompted', 'float32', ['M', ...shape]);
  return encodeModel(graph, { opset: OPSET });
}

interface Pieces {
  readonly trigger: string;
  readonly blocks: readonly { readonly matrix: string; readonly shift: string }[];
  readonly last: string;
}

/** Cuts the folded weights into the parts that `foldDecoder` put together. */
function splitWeights(graph: GraphBuilder, plan: DecoderPlan): Pieces {
  const blocks = plan.blocks.map(({ inputs, outputs }, index) => ({
    matrix: { name: `matrix_${index}`, size: 4 * inputs * outputs },
    shift: { name: `shift_${index}`, size: outputs },
  }));
  const parts = [
    { name: 'trigger', size: plan.triggerSize },
    ...blocks.flatMap(({ matrix, shift }) => [matrix, shift]),
    { name: 'last', size: 4 * lastChannels(plan) * plan.channels },
  ];
  const sizes = graph.constant({
    type: 'int64',
    dims: [parts.length],
    data: BigInt64Array.from(parts, ({ size }) => BigInt(size)),
  });
  graph.nodeWithOutputs(
    'Split',
    ['weights', sizes],
    parts.map(({ name }) => name),
    { axis: { int: 1 } },
  );
  return {
    trigger: 'trigger',
    blocks: blocks.map(({ matrix, shift }) => ({ matrix: matrix.name, shift: shift.name })),
    last: 'last',
  };
}

function addMoments(graph: GraphBuilder, values: string, block: number, outputs: number, axis: string): void {
  const flat = { keepdims: { int: 0 } };
  const mean = graph.node('ReduceMean', [values, axis]);
  const centred = graph.node('Sub', [values, mean]);
  graph.nodeWithOutputs('ReduceMean', [values, axis], [`mean_${block}`], flat);
  graph.nodeWithOutputs(
    'ReduceMean',
    [graph.node('Mul', [centred, centred]), axis],
    [`variance_${block}`],
    flat,
  );
  graph.output(`mean_${block}`, 'float32', ['V', outputs]);
  graph.output(`variance_${block}`, 'float32', ['V', outputs]);
}

/**
 * An ONNX model that turns pictures as the classifier takes them into those that the encoder takes: RGB in [0, 1],
 * `pixels [N, 3, h, w]`.
 * @param size - that the encoder takes; undefined where it takes any
 */
export function encoderInputModel(
  space: PictureSpace,
  size: { readonly height: number; readonly width: number } | undefined,
): Uint8Array {
  const graph = new GraphBuilder('encoder-input');
  const { channels, layout, order, height, width, low, high } = space;
  graph.input(
    'image',
    'float32',
    layout === 'nchw' ? ['N', channels, height, width] : ['N', height, width, channels],
  );
  let pixels =
    layout === 'nchw' ? 'image' : graph.node('Transpose', ['image'], { perm: { ints: [0, 3, 1, 2] } });
  const span = high.map((value, channel) => value - low[channel]);
  pixels = graph.node('Sub', [pixels, floats(graph, low, [channels, 1, 1])]);
  pixels = graph.node('Div', [pixels, floats(graph, span, [channels, 1, 1])]);
  if (order !== 'rgb') {
    const from = order === 'grey' ? [0, 0, 0] : [2, 1, 0];
    const indices = graph.constant({ type: 'int64', dims: [3], data: BigInt64Array.from(from, BigInt) });
    pixels = graph.node('Gather', [pixels, indices], { axis: { int: 1 } });
  }
  if (size !== undefined && (size.height !== height || size.width !== width)) {
    const scales = floats(graph, [1, 1, size.height / height, size.width / width], [4]);
    pixels = graph.node('Resize', [pixels, '', scales], {
      mode: { string: 'linear' },
      antialias: { int: 1 },
    });
  }
  graph.node('Identity', [pixels], {}, 'pixels');
  graph.output('pixels', 'float32', ['N', 3, size?.height ?? height, size?.width ?? width]);
  return encodeModel(graph, { opset: OPSET });
}

function floats(graph: GraphBuilder, values: readonly number[], dims: readonly number[]): string {
  return graph.constant({ type: 'float32', dims, data: Float32Array.from(values) });
}
