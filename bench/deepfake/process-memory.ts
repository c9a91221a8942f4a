import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Megabytes (10⁶ bytes). */
const KIBIBYTE_IN_MB = 1024 / 1e6;

/** Resident memory in megabytes, as /proc tells it; pages that processes share count in each. */
export interface Memory {
  readonly own: number;
  /** Of all that it started. */
  readonly children: number;
}

/** The resident memory of a process and of all that it started. */
export function memoryOf(pid: number): Memory {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(name) : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const below = (root: number): number[] =>
    (children.get(root) ?? []).flatMap((child) => [child, ...below(child)]);
  // Until a child has become another program, it shows its parent's pages as its own.
  const program = programOf(pid);
  const started = below(pid).filter((child) => programOf(child) !== program);
  return { own: residentOf(pid), children: started.reduce((sum, child) => sum + residentOf(child), 0) };
}

function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

function parentOf(pid: string): number | undefined {
  // The name of the program, in parentheses, may hold anything.
  const stat = textOf(`/proc/${pid}/stat`);
  return stat === '' ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

function residentOf(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`))?.[1];
  return Number(kibibytes ?? 0) * KIBIBYTE_IN_MB;
}

/** A file of /proc; empty where its process has ended meanwhile. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Looks at the memory of a process and all that it started every 50 ms. */
export class MemoryWatch {
  private greatest: Memory;
  private readonly timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.greatest = memoryOf(pid);
    this.timer = setInterval(() => {
      const now = memoryOf(pid);
      if (now.own + now.children > this.greatest.own + this.greatest.children) this.greatest = now;
    }, 50);
  }

  /** Ends, and says how much it was when it was most together. */
  stop(): Memory {
    clearInterval(this.timer);
    return this.greatest;
  }
}
