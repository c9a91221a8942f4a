const GUIDES = 64;

/** What shot noise makes of each byte: the distribution of its photon count, laid out for quick draws. */
export interface PoissonTable {
  /** `[256, levels]`: how likely at most that many photons are, for each byte. */
  readonly cumulative: Float64Array;
  /** `[256, 64]`: from which count on to search, for each 64th of the probability. */
  readonly guide: Uint16Array;
  /** Photons that matter: at this many or more the picture is white. */
  readonly levels: number;
}

const tables = new Map<number, PoissonTable>();

/**
 * Makes the table of an exposure, once.
 * @param photons - how many come from white on average, 1 to 600: more would underflow
 */
export function poissonTable(photons: number): PoissonTable {
  let table = tables.get(photons);
  if (table === undefined) tables.set(photons, (table = buildTable(photons)));
  return table;
}

/**
 * Draws a photon count by inversion (Chen and Asau's guide table, 1974).
 * @param byte - how bright the pixel is, 0 to 255
 * @param uniform - a random number in [0, 1)
 * @returns 0 to `levels - 1`; the last stands for all above, too
 */
export function drawPhotons(
  { cumulative, guide, levels }: PoissonTable,
  byte: number,
  uniform: number,
): number {
  const row = byte * levels;
  let count = guide[byte * GUIDES + ((uniform * GUIDES) | 0)];
  while (cumulative[row + count] <= uniform) count++;
  return count;
}

function buildTable(photons: number): PoissonTable {
  const levels = Math.ceil(photons) + 1;
  const cumulative = new Float64Array(256 * levels);
  const guide = new Uint16Array(256 * GUIDES);
  for (let byte = 0; byte < 256; byte++) {
    const row = cumulative.subarray(byte * levels, (byte + 1) * levels);
    const mean = (byte / 255) * photons;
    let likelihood = Math.exp(-mean);
    let sum = 0;
    for (let count = 0; count < levels; count++) {
      row[count] = sum += likelihood;
      likelihood *= mean / (count + 1);
    }
    // Every draw must end, whatever the sums were rounded to.
    row[levels - 1] = 1;
    for (let part = 0, count = 0; part < GUIDES; part++) {
      while (row[count] <= part / GUIDES) count++;
      guide[byte * GUIDES + part] = count;
    }
  }
  return { cumulative, guide, levels };
}
