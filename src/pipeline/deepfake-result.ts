import type { Box, Landmarks } from '../deepfake/face.js';
import type { Spread, Verdict } from '../deepfake/verdict.js';
import type { VideoInfo } from '../deepfake/video-probe.js';
import type { LameReport, RequestOptions, SmoothingReport } from './batch.js';

/** How one request wants faces to be judged. */
export interface JudgeOptions extends RequestOptions {
  /** detect: find faces in pictures; crop: each picture is an aligned face already. */
  readonly faces: 'detect' | 'crop';
  /** Frames of a video that are looked at, at most. */
  readonly frames: number;
}

/** A face and what is said of it. */
export interface JudgedFace {
  /** Where it is, in pixels of the whole picture; undefined for a crop that a client sent. */
  readonly place:
    { readonly box: Box; readonly landmarks: Landmarks; readonly detection: number } | undefined;
  /** Probability of fake in [0, 1], after every stage, and as the model alone said. */
  readonly score: number;
  readonly base: number;
  readonly verdict: Verdict;
  /** Weight of the robust classifier, where there is one. */
  readonly alpha: number | undefined;
  /** Of a video: the number of the person, from 0. */
  readonly person: number | undefined;
}

/** A picture and its faces; the score is that of the face most likely fake, undefined without a face. */
export interface JudgedPicture {
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly faces: readonly JudgedFace[];
  readonly score: number | undefined;
  readonly verdict: Verdict;
  readonly lame: LameReport | undefined;
}

/** A frame of a video that was looked at. */
export interface JudgedFrame {
  readonly index: number;
  readonly seconds: number;
  readonly faces: readonly JudgedFace[];
  /** Of the face most likely fake; undefined without a face. */
  readonly score: number | undefined;
}

/** A person of a video: a face that was followed from frame to frame. */
export interface JudgedPerson extends Spread {
  /** Frames that it was seen in. */
  readonly frames: number;
  readonly verdict: Verdict;
  readonly lame: LameReport | undefined;
}

/** A video, its frames and its persons. */
export interface JudgedVideo {
  readonly info: VideoInfo;
  readonly frames: readonly JudgedFrame[];
  /** Wanted frames that could not be decoded. */
  readonly missing: number;
  readonly persons: readonly JudgedPerson[];
  /** Of the person most likely fake; undefined without a face. */
  readonly score: number | undefined;
  readonly spread: Spread | undefined;
  readonly verdict: Verdict;
}

/** Milliseconds that were spent on each part, and in all. */
export interface JudgeTimings {
  readonly decode: number;
  readonly detect: number;
  readonly align: number;
  readonly classify: number;
  readonly total: number;
}

/** What is said of pictures. */
export interface PicturesJudged {
  readonly pictures: readonly JudgedPicture[];
  readonly score: number | undefined;
  readonly verdict: Verdict;
  readonly smoothing: SmoothingReport | undefined;
  readonly timings: JudgeTimings;
}

/** What is said of a video. */
export interface VideoJudged {
  readonly video: JudgedVideo;
  readonly smoothing: SmoothingReport | undefined;
  readonly timings: JudgeTimings;
}
