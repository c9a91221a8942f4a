/** Pictures as a classifier takes them. */
export interface PictureSpace {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly layout: 'nchw' | 'nhwc';
  readonly order: 'rgb' | 'bgr' | 'grey';
  /** What black is, a channel; pixels below it do not exist. */
  readonly low: readonly number[];
  /** What the brightest pixel is, a channel. */
  readonly high: readonly number[];
}
