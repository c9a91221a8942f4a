import { LFW_CENTRE, LFW_PLACE, type ArchivedFace } from './face-archive.js';
import { mean } from './figures.js';
import { faceAt, type JudgingClient } from './judging-client.js';

/**
 * Says how many faces are found in held-out whole pictures whose face is known to be in the middle, within 30 pixels;
 * how many of these pictures have more faces, which many truly do; and how far the middle is off.
 * @param faces - of `lfw/real`
 */
export async function recallOf(client: JudgingClient, faces: readonly ArchivedFace[]): Promise<string> {
  const answers = await client.pictures(faces.map(({ jpeg }) => jpeg));
  const found = answers.flatMap((answer) => {
    const face = faceAt(answer.faces, LFW_PLACE);
    return face === undefined ? [] : [{ box: face.box!, others: answer.faces.length - 1 }];
  });
  const off = mean(
    found.map(({ box: { x, y, width, height } }) =>
      Math.hypot(x + width / 2 - LFW_CENTRE[0], y + height / 2 - LFW_CENTRE[1]),
    ),
  );
  const more = found.filter(({ others }) => others > 0).length;
  const share = (count: number): string => `${((100 * count) / faces.length).toFixed(1)} %`;
  return (
    `The face in the middle is found in ${found.length} of ${faces.length} whole pictures (${share(found.length)}), ` +
    `its box ${off.toFixed(1)} pixels off on average; ${more} (${share(more)}) have more faces reported, ` +
    `bystanders among them.`
  );
}
