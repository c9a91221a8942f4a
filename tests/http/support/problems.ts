import { expect } from 'vitest';
import type { Answer } from './server.js';

/** Checks an answer's status and the sentence in its problem details. */
export function expectProblem({ status, body }: Answer, wanted: number, detail: RegExp): void {
  expect({ status, detail: body['detail'] }).toEqual({
    status: wanted,
    detail: expect.stringMatching(detail) as string,
  });
}
