import { Random } from './random.js';

/** In which order the test images come. */
export type Order = 'runs of 40' | 'shuffled';

const RUN_LENGTH = 40;

/**
 * The indices of all images in order.
 * - `runs of 40`: each class shuffled and cut into runs of one class, the runs shuffled: what a camera sees that
 *   looks at one thing for a while.
 * - `shuffled`: independent draws, where adaptation has nothing to gain.
 * @param labels - class of each image
 */
export function indicesInOrder(order: Order, labels: readonly number[], seed: number): number[] {
  const random = new Random(seed);
  const indices = labels.map((_, index) => index);
  if (order === 'shuffled') return random.shuffled(indices);
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const runs = classes.flatMap((label) => {
    const members = random.shuffled(indices.filter((index) => labels[index] === label));
    return Array.from({ length: Math.ceil(members.length / RUN_LENGTH) }, (_, run) =>
      members.slice(run * RUN_LENGTH, (run + 1) * RUN_LENGTH),
    );
  });
  return random.shuffled(runs).flat();
}
