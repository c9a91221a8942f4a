import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from './node-flags.js';

/** What a process of `answerParent` sends back. */
type Reply<T> = { readonly result: T } | { readonly error: string };

/** A child process that answers one message at a time. */
export class AnsweringProcess<Question, Result> {
  private readonly child: ChildProcess;

  /**
   * @param module - URL of the TypeScript file that calls `answerParent`
   * @param env - set on top of this process's variables
   */
  constructor(module: URL, env: Readonly<Record<string, string>> = {}) {
    this.child = fork(fileURLToPath(module), {
      serialization: 'advanced',
      env: { ...process.env, ...env },
      execArgv: [...process.execArgv, ...nodeFlags()],
    });
  }

  /** @throws Error what the process threw, or that it ended */
  ask(question: Question): Promise<Result> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => {
        reject(new Error('A process of the benchmark ended before it answered.'));
      };
      this.child.once('exit', onExit);
      this.child.once('message', (reply: Reply<Result>) => {
        this.child.off('exit', onExit);
        if ('error' in reply) reject(new Error(reply.error));
        else resolve(reply.result);
      });
      this.child.send(question as object);
    });
  }

  stop(): void {
    this.child.disconnect();
  }
}

/** Answers each question of the parent process; ends when the parent lets go. */
export function answerParent(answer: (question: unknown) => Promise<unknown>): void {
  process.on('message', (question: unknown) => {
    answer(question).then(
      (result) => process.send!({ result }),
      (error: unknown) => process.send!({ error: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
}
