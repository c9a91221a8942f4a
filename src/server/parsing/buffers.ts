/** The memory of every typed array within a value, each buffer once: what can be handed over to another thread. */
export function buffersIn(value: unknown): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  const visit = (node: unknown): void => {
    if (ArrayBuffer.isView(node)) {
      if (node.buffer instanceof ArrayBuffer) buffers.add(node.buffer);
    } else if (Array.isArray(node)) {
      // Long lists are strings or numbers, and hold no memory of their own.
      if (typeof node[0] === 'object') node.forEach(visit);
    } else if (typeof node === 'object' && node !== null) {
      Object.values(node).forEach(visit);
    }
  };
  visit(value);
  return [...buffers];
}
