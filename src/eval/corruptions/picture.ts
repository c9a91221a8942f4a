/** A picture: bytes in RGB order, interleaved, row after row, `[height, width, 3]`. */
export interface Picture {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** How values lie in memory: `[height, width, channels]`. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}

/** How far a corruption goes, 1 the least. */
export type Severity = 1 | 2 | 3 | 4 | 5;

/** Whose settings: those made for pictures of 32 × 32 (CIFAR-10-C) or of 224 × 224 (ImageNet-C). */
export type Scale = 'cifar' | 'imagenet';

/** What a corruption takes for each scale, one a severity. */
export type Settings<Value> = Readonly<Record<Scale, readonly [Value, Value, Value, Value, Value]>>;

/** Where a corruption stands: how far it goes, at which scale, and the seeds of its chance. */
export interface Setting {
  readonly severity: Severity;
  readonly scale: Scale;
  readonly seeds: readonly number[];
}

/** Turns one picture into another of the same size; the given one stays as it is. */
export type Corruption = (picture: Picture, setting: Setting) => Picture | Promise<Picture>;

/** What the settings say for a severity and a scale. */
export function settingOf<Value>(settings: Settings<Value>, { scale, severity }: Setting): Value {
  return settings[scale][severity - 1];
}

/** Each byte as a number in [0, 1]. */
export const BYTE_TO_UNIT = Float64Array.from({ length: 256 }, (_, byte) => byte / 255);

/** Bytes as numbers in [0, 1], in the same order. */
export function unitsOf(bytes: Uint8Array): Float64Array {
  const units = new Float64Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) units[i] = BYTE_TO_UNIT[bytes[i]];
  return units;
}

/** A number of [0, 1] as the recipe stores it: clipped, times 255, its fraction cut off. */
export function byteOf(unit: number): number {
  return unit <= 0 ? 0 : unit >= 1 ? 255 : (unit * 255) | 0;
}

/** Numbers as bytes, each by `byteOf`. */
export function bytesOf(units: Float64Array): Uint8Array {
  const bytes = new Uint8Array(units.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = byteOf(units[i]);
  return bytes;
}
