import { openAsBlob } from 'node:fs';
import type { DeepfakeResponse } from '#ballast/server/deepfake-schemas.js';
import { Lanes } from '#ballast/runtime/lanes.js';
import type { KnownPlace } from './face-archive.js';

export type AnsweredPicture = NonNullable<DeepfakeResponse['images']>[number];
export type AnsweredFace = AnsweredPicture['faces'][number];
export type Verdict = DeepfakeResponse['verdict'];

/** Pictures of one request, and requests at once. */
const PICTURES_A_REQUEST = 8;
const REQUESTS_AT_ONCE = 2;

/** Asks a server what it says of pictures and videos. */
export class JudgingClient {
  /** @param url - of the server, without a slash at its end */
  constructor(private readonly url: string) {}

  /** Sends pictures as they are, some a request; the answers come in their order. */
  async pictures(files: readonly Uint8Array[]): Promise<AnsweredPicture[]> {
    const lanes = new Lanes(REQUESTS_AT_ONCE);
    const requests: Promise<AnsweredPicture[]>[] = [];
    for (let begin = 0; begin < files.length; begin += PICTURES_A_REQUEST) {
      const some = files.slice(begin, begin + PICTURES_A_REQUEST);
      requests.push(
        lanes.run(async () => {
          const form = new FormData();
          for (const bytes of some) form.append('image', new Blob([Uint8Array.from(bytes)]), 'face');
          const { images } = await this.post(form, '');
          return images!;
        }),
      );
    }
    return (await Promise.all(requests)).flat();
  }

  /**
   * Sends a file as a video, read from the disk while it is sent.
   * @param query - of the request, such as `lame=off`
   */
  async video(path: string, query: string): Promise<DeepfakeResponse> {
    const form = new FormData();
    form.append('video', await openAsBlob(path, { type: 'video/mp4' }), 'video.mp4');
    return this.post(form, `?${query}`);
  }

  private async post(form: FormData, query: string): Promise<DeepfakeResponse> {
    const answer = await fetch(`${this.url}/v1/deepfake${query}`, { method: 'POST', body: form });
    const body = (await answer.json()) as DeepfakeResponse & { detail?: string };
    if (answer.status === 200) return body;
    throw new Error(`POST /v1/deepfake${query} was answered ${answer.status}: ${body.detail ?? ''}`);
  }
}

/** The face whose box is nearest to a place, if it is within its reach; without a place, the largest. */
export function faceAt(
  faces: readonly AnsweredFace[],
  place: KnownPlace | undefined,
): AnsweredFace | undefined {
  const distance = ({ box }: AnsweredFace): number =>
    place === undefined
      ? -box!.width * box!.height
      : Math.hypot(box!.x + box!.width / 2 - place.centre[0], box!.y + box!.height / 2 - place.centre[1]);
  const nearest = faces.toSorted((a, b) => distance(a) - distance(b)).at(0);
  return nearest !== undefined && distance(nearest) <= (place?.reach ?? 0) ? nearest : undefined;
}
