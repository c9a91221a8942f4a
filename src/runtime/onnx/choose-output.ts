import { elementTypeName, isReal } from './element-types.js';
import type { Frame } from './frame.js';
import { findHeads, findLogits, type Head, type Logits } from './head.js';
import type { ValueInfo } from './value-info.js';

/** A classifier has few outputs; behind each of more, a search through the whole graph would not end. */
const MAX_CANDIDATES = 32;

/** An output of a model, read as the answer of a classifier. */
export interface Candidate {
  readonly output: ValueInfo;
  readonly logits: Logits;
  readonly heads: readonly Head[];
}

/**
 * The outputs of a model that could be class scores `[N, K]`, the likeliest first: those with a last linear layer
 * before those without, then by what their names say, then in the model's order.
 * @param frame - the model's graph
 */
export function classifierOutputs(frame: Frame, outputs: readonly ValueInfo[]): Candidate[] {
  return outputs
    .filter(couldBeScores)
    .slice(0, MAX_CANDIDATES)
    .map((output) => {
      const logits = findLogits(frame, output.name);
      return { output, logits, heads: logits.name === undefined ? [] : findHeads(frame, logits.name) };
    })
    .map((candidate) => ({ candidate, score: likelihood(candidate) }))
    .sort((a, b) => b.score - a.score)
    .map(({ candidate }) => candidate);
}

/** Real numbers, or indices of classes, in a shape that holds one row a sample. */
function couldBeScores({ kind, elementType, dims }: ValueInfo): boolean {
  if (kind === 'other') return false;
  if (elementType !== 0 && !isReal(elementType)) return isIndex(elementType);
  // [N, K], or [N, K, 1, 1] from a convolution.
  return dims === undefined || (dims.length >= 2 && dims.slice(2).every((size) => size === 1));
}

function isIndex(elementType: number): boolean {
  const type = elementTypeName(elementType);
  return type === 'int64' || type === 'int32';
}

function likelihood({ output, logits, heads }: Candidate): number {
  const { name, elementType } = output;
  let score = 0;
  if (heads.length > 0) score += 8;
  if (logits.activation !== undefined) score += 4;
  if (isReal(elementType)) score += 4;
  if (/logit/i.test(name)) score += 2;
  if (/prob|score|class|label|output/i.test(name)) score += 1;
  if (/aux/i.test(name)) score -= 4;
  return score;
}
