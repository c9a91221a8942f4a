import { BallastError } from '../../errors.js';

/** Arrays and objects that JSON may have. A tensor has one array a row where it is nested, and one in all where flat. */
const MAX_CONTAINERS = 1_000_000;

const BRACKET = 0x5b;
const BRACE = 0x7b;

/**
 * Refuses JSON whose arrays and objects would fill the memory: a hundred megabytes of `[],[],…` become gigabytes,
 * and a minute of garbage collection. Brackets within strings count too, which no honest body notices.
 * @throws BallastError too-large
 */
export function checkContainers(json: Uint8Array): void {
  if (json.length <= MAX_CONTAINERS) return;
  let count = 0;
  // Iterators over bytes are ten times slower.
  for (let i = 0; i < json.length; i++) if (json[i] === BRACKET || json[i] === BRACE) count++;
  if (count <= MAX_CONTAINERS) return;
  throw new BallastError(
    'too-large',
    `The JSON has ${count} arrays and objects, and this server reads ${MAX_CONTAINERS}; send data flat, or as binary tensors.`,
  );
}
