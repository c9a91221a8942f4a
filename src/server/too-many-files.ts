import { BallastError } from '../errors.js';

/** What is thrown where a request has more files than it may. */
export function tooManyFiles(maxFiles: number): BallastError {
  return new BallastError(
    'too-large',
    `The request has more than ${maxFiles} files, which is the most that this server takes (--max-files). Send them in several requests.`,
  );
}
