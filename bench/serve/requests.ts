import type { Payload } from './cell.js';

/** Names of a network's only input, and of its output. */
export interface NetworkNames {
  readonly input: string;
  readonly output: string;
}

const BOUNDARY = 'ballast-bench-boundary';

/**
 * Whole HTTP requests, head and body, as they go over the wire: they are made once, so that the load generator
 * does nothing but send them.
 * @param model - name of the model
 * @param pictures - JPEG files
 * @param samples - the same pictures as the network takes them
 */
export function requestsFor(
  payload: Payload,
  model: string,
  { input, output }: NetworkNames,
  pictures: readonly Buffer[],
  samples: readonly Float32Array[],
): Buffer[] {
  if (payload === 'jpeg')
    return pictures.map((picture) => multipartRequest(`/v1/models/${model}/predict`, picture));
  return samples.map((sample) =>
    tensorRequest(`/v2/models/${model}/infer`, input, output, [1, 3, 32, 32], sample),
  );
}

/** A POST of one JPEG file as `image`. */
export function multipartRequest(path: string, ...pictures: readonly Buffer[]): Buffer {
  const parts = pictures.flatMap((picture, i) => [
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="${i}.jpg"\r\n` +
        'Content-Type: image/jpeg\r\n\r\n',
    ),
    picture,
    Buffer.from('\r\n'),
  ]);
  const body = Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]);
  return post(path, { 'Content-Type': `multipart/form-data; boundary=${BOUNDARY}` }, body);
}

/** A POST of one FP32 tensor in binary, which asks for one output in binary. */
export function tensorRequest(
  path: string,
  input: string,
  output: string,
  shape: readonly number[],
  values: Float32Array,
  parameters?: Readonly<Record<string, boolean>>,
): Buffer {
  const head = Buffer.from(
    JSON.stringify({
      inputs: [{ name: input, shape, datatype: 'FP32', parameters: { binary_data_size: values.byteLength } }],
      outputs: [{ name: output, parameters: { binary_data: true } }],
      parameters,
    }),
  );
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return post(
    path,
    { 'Content-Type': 'application/octet-stream', 'Inference-Header-Content-Length': String(head.length) },
    Buffer.concat([head, bytes]),
  );
}

/** A GET without a body. */
export function getRequest(path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
}

function post(path: string, headers: Readonly<Record<string, string>>, body: Buffer): Buffer {
  const lines = Object.entries({ Host: '127.0.0.1', ...headers, 'Content-Length': String(body.length) }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), body]);
}
