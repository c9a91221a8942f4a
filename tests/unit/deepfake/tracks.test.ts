import { describe, expect, it } from 'vitest';
import type { Box } from '#ballast/deepfake/face.js';
import { tracksOf } from '#ballast/deepfake/tracks.js';

const box = (x: number, y = 100, width = 80): Box => ({ x, y, width, height: width * 1.4 });

describe('tracksOf', () => {
  it('follows two people who move, whatever the order of their faces', () => {
    const frames = [
      [box(100), box(600)],
      [box(640), box(150)],
      [box(200), box(690)],
    ];
    const tracks = tracksOf(frames);
    expect(tracks).toEqual([
      [
        { frame: 0, face: 0 },
        { frame: 1, face: 1 },
        { frame: 2, face: 0 },
      ],
      [
        { frame: 0, face: 1 },
        { frame: 1, face: 0 },
        { frame: 2, face: 1 },
      ],
    ]);
  });

  it('goes on after frames in which nobody is seen', () => {
    expect(tracksOf([[box(100)], [], [box(120)]])).toEqual([
      [
        { frame: 0, face: 0 },
        { frame: 2, face: 0 },
      ],
    ]);
  });

  it('begins another person where a face is far away, or of another size', () => {
    expect(tracksOf([[box(100)], [box(500)]])).toHaveLength(2);
    expect(tracksOf([[box(100)], [box(60, 60, 200)]])).toHaveLength(2);
  });

  it('never takes two faces of a frame for one person', () => {
    const tracks = tracksOf([[box(100)], [box(95), box(110)]]);
    expect(tracks).toHaveLength(2);
    expect(tracks[0][1]).toEqual({ frame: 1, face: 0 });
  });

  it('has nobody where there are no faces', () => {
    expect(tracksOf([])).toEqual([]);
    expect(tracksOf([[], []])).toEqual([]);
  });
});
