/** The process that asks for health and metrics: one with a small heap, whose own collections no answer waits for. */
import { answerParent } from './answering-process.js';
import { runResponsive } from './responsive.js';

/** See `runResponsive`. */
export interface ResponsiveQuestion {
  readonly port: number;
  readonly model: string;
}

answerParent((message) => {
  const { port, model } = message as ResponsiveQuestion;
  return runResponsive(port, model);
});
