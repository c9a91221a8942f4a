import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModulationSets, type ModulatedLayer } from '#ballast/adapt/modulation.js';
import { writeSafetensors } from '#ballast/runtime/safetensors.js';

const layer = (name: string, channels: number): ModulatedLayer => ({
  name,
  channels,
  gamma: `${name}.gamma`,
  beta: `${name}.beta`,
});
const LAYERS = [layer('image.conv1', 3), layer('head', 2)];

function setsOf(tensors: Record<string, readonly number[]>): ModulationSets {
  const entries = Object.entries(tensors).map(
    ([name, values]) => [name, { shape: [values.length], data: Float32Array.from(values) }] as const,
  );
  return ModulationSets.read(writeSafetensors({ tensors: new Map(entries), metadata: {} }), 'sets');
}

const both = setsOf({
  'image:image.conv1.gamma': [2, 3, 4],
  'image:image.conv1.beta': [5, 6, 7],
  'image:head.gamma': [8, 9],
  'image:head.beta': [10, 11],
  'audio,text:head.gamma': [0.5, 0.25],
  'audio,text:head.beta': [-1, -2],
});

describe('modulation sets', () => {
  it('know their layers and combinations, whatever the order of the modalities', () => {
    expect(both.layers).toEqual(['image.conv1', 'head']);
    expect(both.combinations).toEqual(['image', 'audio,text']);
    expect(both.has(['text', 'audio'])).toBe(true);
    expect(both.has(['audio'])).toBe(false);
  });

  it('give each sample its own scales and shifts, and the identity where there is no set', () => {
    const inputs = both.inputsFor(LAYERS, [
      ['image'],
      ['image', 'audio', 'text'],
      ['text', 'audio'],
      ['audio'],
    ]);
    const rows = (name: string): number[] => [...(inputs[name].data as Float32Array)];
    expect(inputs['image.conv1.gamma'].dims).toEqual([4, 3]);
    expect(rows('image.conv1.gamma')).toEqual([2, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect(rows('image.conv1.beta')).toEqual([5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(rows('head.gamma')).toEqual([8, 9, 1, 1, 0.5, 0.25, 1, 1]);
    expect(rows('head.beta')).toEqual([10, 11, 0, 0, -1, -2, 0, 0]);
  });

  it('give a sample the same row whichever samples are beside it', () => {
    const combination = fc.subarray(['image', 'audio', 'text'], { minLength: 1 });
    fc.assert(
      fc.property(fc.array(combination, { minLength: 1, maxLength: 6 }), (arrived) => {
        const together = both.inputsFor(LAYERS, arrived);
        arrived.forEach((one, row) => {
          const alone = both.inputsFor(LAYERS, [one]);
          for (const [name, { data, dims }] of Object.entries(together)) {
            const own = (data as Float32Array).subarray(row * dims[1], (row + 1) * dims[1]);
            expect(own).toEqual(alone[name].data);
          }
        });
      }),
    );
  });

  it('fit the network that they were made for', () => {
    expect(() => {
      both.check(LAYERS, ['image', 'audio', 'text']);
    }).not.toThrow();
  });

  it.each([
    [LAYERS, ['image', 'audio'], /a set for "text", which is no input; there are image, audio/],
    [[layer('head', 2)], ['image', 'audio', 'text'], /changes "image.conv1", which the network lacks/],
    [
      [layer('image.conv1', 3), layer('head', 7)],
      ['image', 'audio', 'text'],
      /has 2 channels for "head", and the network 7/,
    ],
  ])('say where they do not fit', (layers, modalities, message) => {
    expect(() => {
      both.check(layers, modalities);
    }).toThrow(message);
  });

  it.each([
    [{}, /has no sets/],
    [{ 'head.gamma': [1] }, /"head.gamma" is no tensor of a set/],
    [{ 'image:head.scale': [1] }, /"image:head.scale" is no tensor of a set/],
    [{ 'image:head.gamma': [1] }, /the set for image needs gamma and beta/],
    [{ 'image:head.gamma': [1], 'image:head.beta': [1, 2] }, /of the same size for "head"/],
  ])('are refused: %o', (tensors, message) => {
    expect(() => setsOf(tensors as Record<string, number[]>)).toThrow(message);
  });
});
