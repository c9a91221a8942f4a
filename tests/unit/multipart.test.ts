import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPlainMultipart } from '#ballast/server/plain-multipart.js';
import { readStreamedMultipart } from '#ballast/server/streamed-multipart.js';

const rules = { names: ['image', 'audio'], maxFiles: 5 };

/** The files, or what was wrong. */
async function streamed(body: Buffer, contentType: string, pieces: readonly number[] = []): Promise<unknown> {
  try {
    const files = await readStreamedMultipart(contentType, rules, (write) => {
      let begin = 0;
      for (const length of pieces) {
        if (begin < body.length) write(body.subarray(begin, begin + length));
        begin += length;
      }
      if (begin < body.length) write(body.subarray(begin));
      return Promise.resolve();
    });
    return plainData(files);
  } catch (error) {
    expect(error).toMatchObject({ name: 'BallastError' });
    return (error as Error).message;
  }
}

function plainData(files: object): unknown {
  return Object.fromEntries(
    Object.entries(files).map(([name, list]: [string, Uint8Array[]]) => [
      name,
      list.map((file) => [...file]),
    ]),
  );
}

// Pieces that confuse parsers of multipart: delimiters, halves of them, line ends.
const content = fc
  .array(
    fc.oneof(
      fc.constantFrom('\r\n', '--', 'x-y', '\r\n--x-', '\r\n--x-yz', '\r', '\n', '-', '\0'),
      fc.string(),
    ),
    {
      maxLength: 8,
    },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));
const part = fc.record({
  name: fc.constantFrom('image', 'image', 'audio', 'other', 'im"age'),
  filename: fc.constantFrom(
    '; filename="a.jpg"',
    '; filename=""',
    '; filename=b',
    '; filename="a \\"b\\""',
    '',
  ),
  type: fc.constantFrom('\r\nContent-Type: image/jpeg', '', '\r\nX-Other: 1', '\r\nContent-Type: text/plain'),
  content,
});
const form = fc.record({
  parts: fc.array(part, { maxLength: 7 }),
  before: fc.constantFrom('', '\r\n', 'preamble\r\n'),
  end: fc.constantFrom('--\r\n', '--', '--epilogue', '', '\r\n'),
});

describe('multipart bodies', () => {
  it('read in memory or as a stream, in whatever pieces, give the same files', async () => {
    let plain = 0;
    await fc.assert(
      fc.asyncProperty(
        form,
        fc.array(fc.integer({ min: 1, max: 40 })),
        async ({ parts, before, end }, pieces) => {
          const body = Buffer.concat([
            Buffer.from(before),
            ...parts.flatMap(({ name, filename, type, content: data }) => [
              Buffer.from(
                `--x-y\r\nContent-Disposition: form-data; name="${name}"${filename}${type}\r\n\r\n`,
              ),
              data,
              Buffer.from('\r\n'),
            ]),
            Buffer.from(`--x-y${end}`),
          ]);
          const contentType = 'multipart/form-data; boundary=x-y';
          const whole = await streamed(body, contentType);
          const inPieces = await streamed(body, contentType, pieces);
          // Where two things are wrong, the pieces decide which is seen first.
          if (typeof whole === 'string') expect(typeof inPieces).toBe('string');
          else expect(inPieces).toEqual(whole);
          const fast = readPlainMultipart(body, contentType, rules);
          if (!fast) return;
          plain++;
          expect(plainData(fast)).toEqual(whole);
        },
      ),
      { numRuns: 2000, seed: 1 },
    );
    expect(plain).toBeGreaterThan(50);
  });

  it('are plain as browsers, curl and HTTP libraries write them', async () => {
    const data = new FormData();
    data.append('image', new Blob([Buffer.from('one')]), 'a.jpg');
    data.append('image', new Blob([]), 'ü.jpg');
    data.append('audio', new Blob([Buffer.from('\r\n--')]));
    const request = new Request('http://x', { method: 'POST', body: data });
    const body = Buffer.from(await request.arrayBuffer());
    const files = readPlainMultipart(body, request.headers.get('content-type')!, rules);
    expect(plainData(files!)).toEqual({ image: [[...Buffer.from('one')], []], audio: [[13, 10, 45, 45]] });
    const curl =
      '--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name="image"; filename="cat.jpg"\r\nContent-Type: image/jpeg\r\n\r\nabc\r\n--------------------------d74496d66958873e--\r\n';
    expect(
      readPlainMultipart(
        Buffer.from(curl),
        'multipart/form-data; boundary=------------------------d74496d66958873e',
        rules,
      ),
    ).toBeDefined();
  });
});
