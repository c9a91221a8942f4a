import { BallastError } from '../../errors.js';

/** What other files begin with, and what a user would do about each. */
const SIGNATURES: readonly { readonly at: number; readonly text: string; readonly meaning: string }[] = [
  {
    at: 0,
    text: 'version https://git-lfs',
    meaning: 'a Git LFS pointer, not the model itself: run "git lfs pull" where it was cloned',
  },
  { at: 0, text: '<', meaning: 'a web page or XML, not a model: download the file itself' },
  {
    at: 0,
    text: 'PK\x03\x04',
    meaning:
      'a zip archive, as PyTorch checkpoints are: unpack it, or export the network with torch.onnx.export',
  },
  { at: 0, text: '\x1f\x8b', meaning: 'gzip-compressed: unpack it first' },
  { at: 0, text: '\x80\x02', meaning: 'a Python pickle: export the network with torch.onnx.export' },
  { at: 0, text: '\x89HDF', meaning: 'an HDF5 file, as Keras writes: convert it with tf2onnx' },
  { at: 4, text: 'TFL3', meaning: 'a TensorFlow Lite model: convert it with tf2onnx' },
  { at: 4, text: 'ORTM', meaning: 'a model in ORT format: use the .onnx file that it was made from' },
  {
    at: 8,
    text: '{"',
    meaning: 'a safetensors file, which holds weights without a graph: export the network to ONNX',
  },
];

/**
 * Says what a file is that could not be read as an ONNX model.
 * @param bytes - the file
 * @param error - why reading it failed
 * @returns the error to throw: invalid-model
 */
export function explainForeignFile(bytes: Uint8Array, error: unknown): BallastError {
  const meaning = recognise(bytes);
  if (meaning !== undefined)
    return new BallastError('invalid-model', `The file is ${meaning}.`, { cause: error });
  if (error instanceof BallastError) return error;
  return new BallastError('invalid-model', 'This is not an ONNX model, or it is damaged.', { cause: error });
}

function recognise(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'empty, not an ONNX model: the download or the export probably failed';
  const head = Buffer.from(bytes.subarray(0, 256)).toString('latin1');
  const known = SIGNATURES.find(({ at, text }) => head.startsWith(text, at));
  if (known) return known.meaning;
  if (/^[\t\n\r\x20-\x7e]*$/.test(head)) return 'text, not an ONNX model: ONNX models are binary files';
  return undefined;
}
