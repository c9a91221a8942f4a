import { setImmediate as nextTurn } from 'node:timers/promises';

/** Cells of a matrix that are worked through in one turn of the event loop: a millisecond or two. */
const CELLS_A_TURN = 32_768;

/** Whether a matrix of `rows` x `cols` is small enough to be worked through at once. */
export function fitATurn(rows: number, cols: number): boolean {
  return rows * cols <= CELLS_A_TURN;
}

/**
 * Works through the rows of a matrix over as many turns of the event loop as it takes, so that nothing else waits.
 * @param rows - N
 * @param cols - K
 * @param work - given the rows `[begin, end)`, in order
 */
export async function inTurns(
  rows: number,
  cols: number,
  work: (begin: number, end: number) => void,
): Promise<void> {
  const step = Math.max(1, Math.floor(CELLS_A_TURN / cols));
  for (let begin = 0; begin < rows; begin += step) {
    if (begin > 0) await nextTurn();
    work(begin, Math.min(rows, begin + step));
  }
}
