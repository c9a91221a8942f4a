/** Where a place beyond the rim lies inside, mirrored so that the last pixel comes once (OpenCV's REFLECT_101). */
export function mirrored(at: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * size - 2;
  const inside = ((at % period) + period) % period;
  return inside < size ? inside : period - inside;
}

/** Where a place beyond the rim lies inside, mirrored so that the last pixel comes twice. */
export function reflected(at: number, size: number): number {
  const period = 2 * size;
  const inside = ((at % period) + period) % period;
  return inside < size ? inside : period - 1 - inside;
}
