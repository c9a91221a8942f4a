/** The process of the load generator. */
import { answerParent } from './answering-process.js';
import type { Connections } from './cell.js';
import { putLoad } from './load.js';

/** Requests are sent over once and kept under a name. */
export type LoadQuestion =
  | { readonly kind: 'keep'; readonly name: string; readonly requests: readonly Uint8Array[] }
  | {
      readonly kind: 'put';
      readonly name: string;
      readonly port: number;
      readonly connections: Connections;
      readonly warmUpSeconds: number;
      readonly seconds: number;
    };

const kept = new Map<string, readonly Buffer[]>();

answerParent(async (message) => {
  const question = message as LoadQuestion;
  if (question.kind === 'keep') {
    kept.set(
      question.name,
      question.requests.map((bytes) => Buffer.from(bytes)),
    );
    return undefined;
  }
  return putLoad({ ...question, requests: kept.get(question.name)! });
});
