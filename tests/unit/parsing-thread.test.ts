import { afterAll, describe, expect, it } from 'vitest';
import { ParsingThread } from '#ballast/server/parsing/parsing-thread.js';

const thread = new ParsingThread();
afterAll(() => thread.close());

const rules = { kind: 'files', names: ['image'], maxFiles: 10 } as const;
const job = (text: string): Parameters<ParsingThread['run']>[0] => ({ ...rules, body: Buffer.from(text) });
const files = (length: number, count = 1): string =>
  JSON.stringify({ image: Array<string>(count).fill(Buffer.alloc(length, 7).toString('base64')) });

describe('the thread that parses', () => {
  it('parses large bodies as the main thread parses small ones', async () => {
    for (const length of [0, 10, 100_000, 1_000_000]) {
      const { image } = (await thread.run({ ...rules, body: Buffer.from(files(length, 3)) })) as {
        image: Uint8Array[];
      };
      expect(image.map((file) => file.byteLength)).toEqual([length, length, length]);
      expect(image.every((file) => file.every((byte) => byte === 7))).toBe(true);
    }
  });

  it('throws the same errors', async () => {
    for (const padding of [0, 400_000]) {
      const space = ' '.repeat(padding);
      await expect(thread.run(job(`{"image":[1]}${space}`))).rejects.toMatchObject({
        name: 'BallastError',
        code: 'invalid-input',
        message: expect.stringContaining('image[0]') as string,
      });
      await expect(thread.run(job(`{"image"${space}`))).rejects.toMatchObject({ code: 'invalid-input' });
      await expect(thread.run(job(`${files(1, 11)}${space}`))).rejects.toMatchObject({ code: 'too-large' });
    }
  });

  it('ends, and starts anew with the next job', async () => {
    await thread.run(job(files(300_000)));
    const lost = expect(thread.run(job(files(30_000_000)))).rejects.toMatchObject({ code: 'unavailable' });
    const closing = thread.close();
    const next = thread.run(job(files(300_000)));
    await closing;
    await lost;
    expect(await next).toHaveProperty('image');
  });
});
