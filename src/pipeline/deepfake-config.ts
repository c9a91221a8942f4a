import { z } from 'zod';

const share = z.number().min(0).max(1);

/** How faces are found and cropped: see deepfake/detector-layout.ts and deepfake/align.ts. */
export const facesSchema = z.strictObject({
  /** ONNX file of a face detector with landmarks: YuNet, SCRFD or RetinaFace, told apart by its outputs. */
  detector: z.string(),
  /**
   * Pixels of a picture's longer side when it is looked at, one pass each: a large size finds small faces, a small one
   * faces that fill the picture. Pictures are never enlarged.
   */
  sizes: z.array(z.int().min(32).max(4096)).min(1).max(4).default([640, 256]),
  channels: z.enum(['rgb', 'bgr']).default('bgr'),
  /** Of pixels in 0 to 255, one value or one a channel: the detector sees (pixel - mean) / std. */
  mean: z.array(z.number()).min(1).max(3).default([0]),
  std: z.array(z.number().positive()).min(1).max(3).default([1]),
  /** The least score of a face. */
  threshold: share.default(0.6),
  /** Two boxes that overlap by more (intersection over union) are one face. */
  overlap: share.default(0.3),
  /** Faces of one picture or frame, at most: the surest. */
  maxFaces: z.int().min(1).max(256).default(16),
  /** Pixels of a face's shorter side below which it is left out: too little to judge by. */
  minSize: z.int().min(1).max(4096).default(24),
  /** How far a crop reaches: 1 is the template of face recognition, GenD takes 1.3. */
  scale: z.number().min(0.5).max(4).default(1.3),
});

/** What a probability of fake means. */
export const verdictSchema = z
  .strictObject({
    /** Where real ends and fake begins. */
    threshold: share.default(0.5),
    /** Between these two the verdict is `unsure`; left out: there is no such band. */
    unsure: z.tuple([share, share]).optional(),
  })
  .refine(
    ({ threshold, unsure }) => unsure === undefined || (unsure[0] <= threshold && threshold <= unsure[1]),
    'it must be a threshold that lies between the two bounds of unsure',
  );

export type FacesConfig = z.infer<typeof facesSchema>;
export type VerdictConfig = z.infer<typeof verdictSchema>;
