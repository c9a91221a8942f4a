/** The networks that are measured: the small one has 0.27 million parameters, the large one about 2 million. */
export const NETWORKS = ['small', 'large'] as const;
export type Network = (typeof NETWORKS)[number];

/** What a request carries: a JPEG file as multipart/form-data, or a binary tensor of the Open Inference Protocol. */
export const PAYLOADS = ['jpeg', 'oip'] as const;
export type Payload = (typeof PAYLOADS)[number];

export const CONNECTIONS = [1, 32] as const;
export type Connections = (typeof CONNECTIONS)[number];

/** One thing that is measured: who is asked comes on top. */
export interface Cell {
  readonly network: Network;
  readonly payload: Payload;
  readonly connections: Connections;
}

/** How the networks take a picture: CIFAR-10's mean and deviation of pixels in [0, 1]. */
export const IMAGE = {
  width: 32,
  height: 32,
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.247, 0.2435, 0.2616],
} as const;

/** Values of a sample: channels × height × width. */
export const SAMPLE_SIZE = 3 * IMAGE.width * IMAGE.height;

/** One text for each cell, for keys and messages. */
export function cellName({ network, payload, connections }: Cell): string {
  return `${network} ${payload} ${connections}`;
}
