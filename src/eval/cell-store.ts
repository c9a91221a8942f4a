import { createHash } from 'node:crypto';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BallastError, messageOf } from '../errors.js';
import { writeAtomically } from '../runtime/write-atomically.js';
import { packOutcome, unpackOutcome, type Outcome, type PackedOutcome } from './outcome.js';

/** One finished piece of work. */
export interface FinishedCell {
  /** Undefined for a measurement of time alone. */
  readonly outcome?: Outcome;
  /** Milliseconds a sample of what was measured, where that was. */
  readonly msPerSample?: number;
}

const lineSchema = z.strictObject({
  key: z.string(),
  what: z.unknown(),
  msPerSample: z.number().optional(),
  outcome: z
    .strictObject({
      predicted: z.string(),
      trueProbability: z.string(),
      confidence: z.string(),
      alpha: z.string().optional(),
      radius: z.string().optional(),
    })
    .optional(),
});

/**
 * Finished cells in `cells.jsonl`, a line each, so that a run that was stopped goes on where it was. A cell is found
 * again only where everything that determines it is the same: files of the model, pictures, options and version.
 */
export class CellStore {
  private constructor(
    private readonly path: string,
    private readonly basis: string,
    private readonly cells: Map<string, FinishedCell>,
  ) {}

  /**
   * Reads what is there. A line that was cut short by a crash is dropped.
   * @param folder - made where there is none
   * @param basis - what determines all cells of this run
   * @throws BallastError unavailable where the folder cannot be read or written
   */
  static async open(folder: string, basis: unknown): Promise<CellStore> {
    const path = join(folder, 'cells.jsonl');
    try {
      await mkdir(folder, { recursive: true });
    } catch (error) {
      throw new BallastError('unavailable', `The folder ${folder} cannot be made: ${messageOf(error)}`, {
        cause: error,
      });
    }
    const text = await readFile(path, 'utf8').catch(() => '');
    const cells = new Map<string, FinishedCell>();
    const sound: string[] = [];
    for (const line of text.split('\n')) {
      const read = readLine(line);
      if (read === undefined) continue;
      cells.set(read.key, read.cell);
      sound.push(line);
    }
    const whole = sound.map((line) => `${line}\n`).join('');
    if (whole !== text) await writeAtomically(path, whole);
    return new CellStore(path, JSON.stringify(basis), cells);
  }

  /** The finished cell, if this very one is there. */
  get(what: unknown): FinishedCell | undefined {
    return this.cells.get(this.keyOf(what));
  }

  /**
   * Keeps a cell: its line is on the disk, whole, when this resolves.
   * @throws BallastError unavailable where it cannot be written, such as on a full disk; what was kept before stays
   */
  async put(what: unknown, cell: FinishedCell): Promise<void> {
    const key = this.keyOf(what);
    const { outcome, msPerSample } = cell;
    const line = {
      ...{ key, what },
      ...(msPerSample !== undefined && { msPerSample }),
      ...(outcome && { outcome: packOutcome(outcome) }),
    };
    try {
      const file = await open(this.path, 'a');
      try {
        await file.writeFile(`${JSON.stringify(line)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw new BallastError(
        'unavailable',
        `${this.path} cannot be written: ${messageOf(error)}. What was finished before is kept: make room, then run the same command again to go on.`,
        { cause: error },
      );
    }
    this.cells.set(key, cell);
  }

  private keyOf(what: unknown): string {
    return createHash('sha256')
      .update(`${this.basis}\n${JSON.stringify(what)}`)
      .digest('hex');
  }
}

function readLine(line: string): { key: string; cell: FinishedCell } | undefined {
  try {
    const { key, outcome, msPerSample } = lineSchema.parse(JSON.parse(line));
    return {
      key,
      cell: {
        ...(outcome && { outcome: unpackOutcome(outcome as PackedOutcome) }),
        ...(msPerSample !== undefined && { msPerSample }),
      },
    };
  } catch {
    return undefined;
  }
}
