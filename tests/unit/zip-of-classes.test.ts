import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { picturesOfZip } from '#ballast/server/zip-of-classes.js';
import { zipOf, type ZipEntry } from '../fixtures/zip.js';

const file = (name: string, text = name): ZipEntry => ({ name, bytes: Buffer.from(text) });
const read = (entries: readonly ZipEntry[], most = 100): ReturnType<typeof picturesOfZip> =>
  picturesOfZip(zipOf(entries), most);

describe('picturesOfZip', () => {
  it('takes the folder that a picture is in for its class, at any depth, in the order of names', async () => {
    const pictures = await read([
      file('data/train/dog/2.png'),
      file('cat/1.png'),
      file('data/train/dog/10.png'),
      file('Größe/ä.png'),
    ]);
    expect(pictures.map(({ name, label }) => [name, label])).toEqual([
      ['Größe/ä.png', 'Größe'],
      ['cat/1.png', 'cat'],
      ['data/train/dog/10.png', 'dog'],
      ['data/train/dog/2.png', 'dog'],
    ]);
    for (const { name, bytes } of pictures) expect(Buffer.from(bytes).toString()).toBe(name);
  });

  it('leaves out folders, hidden files, what a Mac adds, and files in no folder', async () => {
    const pictures = await read([
      file('cat/', ''),
      file('cat/.DS_Store'),
      file('.git/config'),
      file('data/.thumbnails/cat/1.png'),
      file('__MACOSX/cat/._1.png'),
      file('__MACOSX/cat/1.png'),
      file('README.md'),
      file('cat/1.png'),
    ]);
    expect(pictures.map(({ name }) => name)).toEqual(['cat/1.png']);
  });

  it('reads compressed files', async () => {
    const text = 'a picture '.repeat(100);
    const bytes = deflateRawSync(text);
    const zip = zipOf([{ name: 'cat/1.png', bytes, claimedSize: text.length, method: 8 }]);
    // The checksum is of what is packed; nothing reads it.
    const [picture] = await picturesOfZip(zip, 1);
    expect(Buffer.from(picture.bytes).toString()).toBe(text);
  });

  it('refuses a zip without folders, and says how it should be', async () => {
    for (const entries of [[], [file('1.png')], [file('cat/', '')]]) {
      await expect(read(entries)).rejects.toMatchObject({
        code: 'invalid-input',
        message: expect.stringMatching(
          /no pictures in folders; it must have a folder for each class/,
        ) as string,
      });
    }
  });

  it('refuses more pictures than it may have, and takes as many', async () => {
    const entries = ['1', '2', '3'].map((name) => file(`cat/${name}.png`));
    expect(await read(entries, 3)).toHaveLength(3);
    await expect(read(entries, 2)).rejects.toMatchObject({
      code: 'too-large',
      message: expect.stringMatching(/more than 2 pictures/) as string,
    });
  });

  it('does not count what it leaves out', async () => {
    expect(await read([file('cat/.hidden'), file('1.txt'), file('cat/1.png')], 1)).toHaveLength(1);
  });

  it('refuses what says that it unpacks to gigabytes, before it unpacks it', async () => {
    const bytes = deflateRawSync('short');
    await expect(read([{ name: 'cat/1.png', bytes, claimedSize: 3e9, method: 8 }])).rejects.toMatchObject({
      code: 'too-large',
    });
  });

  it.each([
    ['more', 10],
    ['less', 5000],
  ])('refuses an entry that unpacks to %s than it says', async (_, claimedSize) => {
    const bytes = deflateRawSync(Buffer.alloc(1000));
    await expect(read([{ name: 'cat/1.png', bytes, claimedSize, method: 8 }])).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/^The zip cannot be read: .*bytes/) as string,
    });
  });

  it('refuses what is no zip, or one that is cut short or broken inside', async () => {
    const whole = zipOf([file('cat/1.png'), file('dog/1.png')]);
    const garbled = zipOf([
      { name: 'cat/1.png', bytes: Buffer.alloc(50, 0xff), claimedSize: 500, method: 8 },
    ]);
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('no zip at all'),
      whole.subarray(0, whole.length - 30),
      whole.subarray(20),
      garbled,
    ]) {
      await expect(picturesOfZip(bytes, 100)).rejects.toMatchObject({
        code: 'invalid-input',
        message: expect.stringMatching(/^The zip cannot be read: ./) as string,
      });
    }
  });

  it.each(['../cat/1.png', '/cat/1.png', 'C:/cat/1.png'])('refuses the path %s', async (name) => {
    await expect(read([file(name)])).rejects.toMatchObject({ code: 'invalid-input' });
  });
});
