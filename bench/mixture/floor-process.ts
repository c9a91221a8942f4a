/** A process of the floor: onnxruntime alone, running both classifiers on the same batches. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { answerParent } from '../serve/answering-process.js';
import { IMAGE, SAMPLE_SIZE } from '../serve/cell.js';

/** What the process is asked to run, and for how long. */
export interface FloorQuestion {
  readonly files: readonly string[];
  readonly threads: number;
  readonly batch: number;
  readonly seconds: number;
}

const sessions = new Map<string, Promise<InferenceSession>>();

answerParent(async (message) => {
  const { files, threads, batch, seconds } = message as FloorQuestion;
  const opened = await Promise.all(files.map((file) => open(file, threads)));
  const data = Float32Array.from({ length: batch * SAMPLE_SIZE }, (_, i) => Math.sin(i));
  const image = new Tensor('float32', data, [batch, 3, IMAGE.height, IMAGE.width]);
  let count = 0;
  const begin = performance.now();
  for (;;) {
    for (const session of opened) await session.run({ [session.inputNames[0]]: image });
    count += batch;
    const elapsed = (performance.now() - begin) / 1000;
    if (elapsed >= seconds) return count / elapsed;
  }
});

function open(file: string, threads: number): Promise<InferenceSession> {
  const key = `${threads} ${file}`;
  const session =
    sessions.get(key) ?? InferenceSession.create(file, { intraOpNumThreads: threads, interOpNumThreads: 1 });
  sessions.set(key, session);
  return session;
}
