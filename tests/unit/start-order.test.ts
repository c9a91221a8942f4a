import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { StartOrder } from '#ballast/runtime/start-order.js';

describe('StartOrder', () => {
  /** Starts that write down when they begin, and end when they are told to. */
  const scene = () => {
    const order = new StartOrder();
    const begun: string[] = [];
    const ends = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
    const start = (name: string) => (): Promise<void> => {
      begun.push(name);
      return new Promise((resolve, reject) => ends.set(name, { resolve, reject }));
    };
    return { order, begun, ends, start };
  };

  it('lets first workers start at once, and the others after them, one at a time', async () => {
    const { order, begun, ends, start } = scene();
    const a = order.first(start('a'));
    const others = [order.other(start('a2')), order.other(start('a3'))];
    const b = order.first(start('b'));
    await turn();
    expect(begun).toEqual(['a', 'b']);
    ends.get('a')!.resolve();
    await a;
    await turn();
    expect(begun).toEqual(['a', 'b']);
    ends.get('b')!.resolve();
    await b;
    await turn();
    expect(begun).toEqual(['a', 'b', 'a2']);
    ends.get('a2')!.resolve();
    await others[0];
    await turn();
    expect(begun).toEqual(['a', 'b', 'a2', 'a3']);
    ends.get('a3')!.resolve();
    await others[1];
  });

  it('goes on after a start that failed', async () => {
    const { order, begun, ends, start } = scene();
    const first = order.first(start('a'));
    const others = [order.other(start('a2')), order.other(start('a3'))];
    await turn();
    ends.get('a')!.reject(new Error('no such file'));
    await expect(first).rejects.toThrow('no such file');
    await turn();
    ends.get('a2')!.reject(new Error('no memory'));
    await expect(others[0]).rejects.toThrow('no memory');
    await turn();
    expect(begun).toEqual(['a', 'a2', 'a3']);
    ends.get('a3')!.resolve();
    await others[1];
  });
});
