/** One stream of a file, as ffprobe's JSON has it; the names are ffprobe's. */
export interface ReportedStream {
  readonly index: number;
  readonly codec_type?: string;
  readonly codec_name?: string;
  readonly width?: number;
  readonly height?: number;
  readonly sample_aspect_ratio?: string;
  readonly avg_frame_rate?: string;
  readonly r_frame_rate?: string;
  readonly nb_frames?: string;
  readonly duration?: string;
  readonly start_time?: string;
  readonly disposition?: { readonly attached_pic?: number };
  readonly tags?: Readonly<Record<string, string>>;
  readonly side_data_list?: readonly { readonly rotation?: number }[];
}

/** What ffprobe says of a file with `-show_format -show_streams`. */
export interface VideoReport {
  readonly streams: readonly ReportedStream[];
  readonly format: {
    readonly format_name?: string;
    readonly duration?: string;
    readonly start_time?: string;
  };
}

/**
 * The track that is shown: the first of pictures that is not a cover.
 * @returns undefined where there is none
 */
export function videoTrack({ streams }: VideoReport): ReportedStream | undefined {
  return streams.find((stream) => stream.codec_type === 'video' && stream.disposition?.attached_pic !== 1);
}

/**
 * Seconds that a track lasts by the file's header: of the track itself, else of the whole file.
 * @returns undefined where the header says neither
 */
export function reportedSeconds(track: ReportedStream, { format }: VideoReport): number | undefined {
  return positive(track.duration) ?? clock(track.tags?.DURATION) ?? positive(format.duration);
}

/**
 * Frames a second by the file's header: their mean over the track, else the rate that its time stamps fit.
 * @returns undefined where the header says neither, or more than any camera makes
 */
export function reportedRate(track: ReportedStream): number | undefined {
  const rates = [ratio(track.avg_frame_rate, '/'), ratio(track.r_frame_rate, '/')];
  return rates.find((rate) => rate !== undefined && rate <= MAX_RATE);
}

/**
 * The size of a frame as it is shown: turned as the file asks, and widened or narrowed until its pixels are square.
 * @param track - of a known width and height
 */
export function shownSize(track: ReportedStream): { readonly width: number; readonly height: number } {
  const [width, height] = [track.width ?? 0, track.height ?? 0];
  const wide = Math.max(1, Math.round(width * (ratio(track.sample_aspect_ratio, ':') ?? 1)));
  const turned = track.side_data_list?.find((data) => data.rotation !== undefined)?.rotation;
  const degrees = turned ?? Number(track.tags?.rotate ?? 0);
  return Math.abs(degrees) % 180 === 90 ? { width: height, height: wide } : { width: wide, height };
}

/** Rates above this are those of a clock (90 kHz, for instance), not of frames. */
const MAX_RATE = 1000;

/** A decimal number above 0. */
export function positive(text: string | undefined): number | undefined {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

/** `30000/1001` or `16:15`, above 0. */
function ratio(text: string | undefined, between: '/' | ':'): number | undefined {
  const [above, below] = (text ?? '').split(between).map(Number);
  return above > 0 && below > 0 ? above / below : undefined;
}

/** `00:10:00.500000000`, as Matroska's tags have it. */
function clock(text: string | undefined): number | undefined {
  const parts = /^(\d+):(\d+):(\d+(?:\.\d+)?)$/.exec(text ?? '');
  return parts === null
    ? undefined
    : positive(String(Number(parts[1]) * 3600 + Number(parts[2]) * 60 + Number(parts[3])));
}
