/** Just under the 32 MB at which glibc stops to raise its threshold. */
const SIZE = 2 ** 25 - 2 ** 16;

/**
 * Lets new arrays take the memory of freed ones. glibc, which most of Linux allocates with, takes blocks above a threshold
 * of 128 KB from the system and gives them back when they are freed, and likewise whatever lies free at the end of its
 * heap; so arrays pay for the first touch of every page of 4 KB again and again, which takes 10 or 20 microseconds in
 * some virtual machines. It raises the threshold to the size of the largest block that was freed, up to 32 MB, and what
 * it keeps at the end to twice that: so here is such a block, which nobody touches. Elsewhere this does nothing.
 */
export function keepFreedMemory(): void {
  // The next collection frees it.
  new ArrayBuffer(SIZE);
}
