import { Presets, SingleBar } from 'cli-progress';

/** Told how far a run is, in units of work: about the time that one sample takes in one pass. */
export interface EvalProgress {
  /** How much there is to do in all. */
  begin(units: number): void;
  /** That so much more is done, and what is being done. */
  advance(units: number, doing: string): void;
  end(): void;
}

const LINE_MS = 10_000;

/** A bar with the time that is left, on a terminal. */
export function barProgress(stream: NodeJS.WriteStream): EvalProgress {
  const bar = new SingleBar(
    {
      format: '{bar} {percentage} %  {left} left  {doing}',
      stream,
      hideCursor: true,
      clearOnComplete: true,
      // A line that wraps would be drawn again and again.
      linewrap: false,
      forceRedraw: false,
    },
    Presets.shades_classic,
  );
  const left = timeLeft();
  return {
    begin: (units) => {
      left.begin(units);
      bar.start(units, 0, { left: '…', doing: '' });
    },
    advance: (units, doing) => {
      bar.increment(units, { left: left.after(units), doing });
    },
    end: () => {
      bar.stop();
    },
  };
}

/** A line every ten seconds, where there is no terminal. */
export function lineProgress(write: (line: string) => void): EvalProgress {
  const left = timeLeft();
  let [total, done, told] = [0, 0, 0];
  return {
    begin: (units) => {
      left.begin(units);
      [total, done, told] = [units, 0, performance.now()];
    },
    advance: (units, doing) => {
      done += units;
      const text = left.after(units);
      if (performance.now() - told < LINE_MS) return;
      told = performance.now();
      write(`${Math.floor((100 * done) / total)} %, ${text} left: ${doing}\n`);
    },
    end: () => undefined,
  };
}

function timeLeft(): { begin(units: number): void; after(units: number): string } {
  let [total, done, start] = [0, 0, 0];
  return {
    begin: (units) => {
      [total, done, start] = [units, 0, performance.now()];
    },
    after: (units) => {
      done += units;
      const seconds = ((performance.now() - start) / 1000 / done) * Math.max(0, total - done);
      return seconds < 60
        ? `${Math.ceil(seconds)} s`
        : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
    },
  };
}
