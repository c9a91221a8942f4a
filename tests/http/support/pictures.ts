import sharp from 'sharp';

/** A small JPEG of noise that depends on the seed. */
export function jpeg(seed: number, side = 32): Promise<Buffer> {
  let state = seed + 1;
  const data = Uint8Array.from({ length: side * side * 3 }, () => {
    state = (state * 48271) % 2147483647;
    return state % 256;
  });
  return sharp(data, { raw: { width: side, height: side, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}

/** A form with pictures as `image`. */
export function formOf(pictures: readonly Uint8Array[], field = 'image'): FormData {
  const form = new FormData();
  for (const [i, picture] of pictures.entries())
    form.append(field, new Blob([Uint8Array.from(picture)]), `${i}.jpg`);
  return form;
}
