import { parentPort } from 'node:worker_threads';
import { BallastError, messageOf } from '../../errors.js';
import { buffersIn } from './buffers.js';
import { parse, type ParsingJob } from './parsing-jobs.js';
import type { FromParsingWorker } from './parsing-thread.js';

const port = parentPort!;

port.on('message', ({ id, job }: { id: number; job: ParsingJob }) => {
  let answer: FromParsingWorker;
  try {
    answer = { id, parsed: parse(job) };
  } catch (error) {
    const code = error instanceof BallastError ? error.code : 'internal';
    answer = { id, code, message: messageOf(error) };
  }
  port.postMessage(answer, 'parsed' in answer ? buffersIn(answer.parsed) : []);
});
