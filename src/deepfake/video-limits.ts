/** What a video may be, so that no file holds up the server. */
export interface VideoLimits {
  /** The longest video, in seconds; a longer one is refused before anything of it is decoded. */
  readonly maxSeconds: number;
  /** The most pixels (width × height) of one frame as it is stored, before it is scaled down. */
  readonly maxPixels: number;
  /**
   * Milliseconds that finding out about a video may take, and that reading its frames may take: of the latter only
   * the time counts in which a frame is waited for.
   */
  readonly timeoutMs: number;
}

/** What holds where nothing else is said: an hour, frames of 33.5 megapixels (8K), a minute. */
export const DEFAULT_VIDEO_LIMITS: VideoLimits = {
  maxSeconds: 3600,
  maxPixels: 1 << 25,
  timeoutMs: 60_000,
};
