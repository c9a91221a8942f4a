import { describe, expect, it } from 'vitest';
import { isAudio, isVideo } from '#ballast/deepfake/video-file.js';

const text = (content: string): Uint8Array => Buffer.from(content.padEnd(64, '\0'), 'latin1');
const transport = (size: number, first: number): Uint8Array => {
  const head = new Uint8Array(4096);
  for (let at = first; at < head.length; at += size) head[at] = 0x47;
  return head;
};

describe('what a file is by its first bytes', () => {
  it.each([
    ['MP4', text('\0\0\0\x20ftypisom')],
    ['MOV', text('\0\0\0\x14ftypqt  ')],
    ['MOV of old', text('\0\0\0\x08wide\0\0\0\0mdat')],
    ['Matroska and WebM', text('\x1aE\xdf\xa3\x9fB')],
    ['AVI', text('RIFF\0\0\0\0AVI LIST')],
    ['MPEG-PS', text('\0\0\x01\xba\x44')],
    ['FLV', text('FLV\x01\x05')],
    ['Ogg', text('OggS\0\x02')],
    ['ASF', text('\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9')],
    ['MPEG-TS', transport(188, 0)],
    ['MPEG-TS with time stamps', transport(192, 4)],
  ])('takes %s for a video', (_, head) => {
    expect([isVideo(head), isAudio(head)]).toEqual([true, false]);
  });

  it.each([
    ['WAV', text('RIFF\0\0\0\0WAVEfmt ')],
    ['MP3 with tags', text('ID3\x04')],
    ['MP3', text('\xff\xfb\x90\x64')],
    ['AAC', text('\xff\xf1\x50\x80')],
    ['FLAC', text('fLaC\0')],
    ['M4A', text('\0\0\0\x20ftypM4A ')],
  ])('takes %s for sound', (_, head) => {
    expect([isVideo(head), isAudio(head)]).toEqual([false, true]);
  });

  it.each([
    ['JPEG', text('\xff\xd8\xff\xe0\0\x10JFIF')],
    ['PNG', text('\x89PNG\r\n\x1a\n\0\0\0\rIHDR')],
    ['WebP', text('RIFF\0\0\0\0WEBPVP8 ')],
    ['AVIF', text('\0\0\0\x20ftypavif')],
    ['HEIC', text('\0\0\0\x20ftypheic')],
    ['text that begins with G', text('Good morning')],
    ['a playlist', text('#EXTM3U\n')],
    ['UTF-16', text('\xff\xfea\0')],
    ['nothing', new Uint8Array(0)],
    ['a byte', Uint8Array.of(0x47)],
  ])('takes %s for neither', (_, head) => {
    expect([isVideo(head), isAudio(head)]).toEqual([false, false]);
  });
});
