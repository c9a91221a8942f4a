import { formatTable } from '../shift/table.js';
import { aurocInterval, type Scoring } from './figures.js';
import { faceAt, type AnsweredFace, type JudgingClient, type Verdict } from './judging-client.js';
import type { PictureSet, Sample } from './picture-sets.js';

/** What a server said of a set of pictures. */
export interface JudgedSet {
  readonly name: string;
  /** One a picture in which a face was found. */
  readonly found: readonly (Scoring & { readonly verdict: Verdict })[];
  /** All of its pictures. */
  readonly origins: readonly Pick<Sample, 'origin' | 'fake'>[];
}

/** Has every picture of a set judged. */
export async function judgeSet(
  client: JudgingClient,
  { name, samples, place }: PictureSet,
): Promise<JudgedSet> {
  const answers = await client.pictures(samples.map(({ file }) => file));
  const found = samples.flatMap(({ fake, origin }, i) => {
    const face: AnsweredFace | undefined = faceAt(answers[i].faces, place);
    return face === undefined ? [] : [{ score: face.score, verdict: face.verdict, fake, origin }];
  });
  return { name, found, origins: samples };
}

/** The fakes of one level of a set of composites, whose paths name it, and all of its real pictures. */
export function ofLevel({ name, found, origins }: JudgedSet, level: string): JudgedSet {
  const isOf = ({ origin, fake }: Pick<Sample, 'origin' | 'fake'>): boolean =>
    !fake || origin.includes(`/${level}_`);
  return { name: `${name}, ${level}`, found: found.filter(isOf), origins: origins.filter(isOf) };
}

const SAID = ['fake', 'unsure', 'real'] as const satisfies readonly Verdict[];

/** A table with a line for each set. */
export async function tableOfSets(sets: readonly JudgedSet[], seed: number): Promise<string> {
  const head = ['kind of fake', 'AUROC', '95 % interval', 'fake', 'real', 'no face'];
  const verdicts = ['said of fake: fake', 'unsure', 'real', 'of real: fake', 'unsure', 'real'];
  const lines: string[][] = [[...head, ...verdicts]];
  for (const { name, found, origins } of sets) {
    const { value, low, high } = await aurocInterval(found, seed);
    const fakes = found.filter(({ fake }) => fake);
    const reals = found.filter(({ fake }) => !fake);
    const said = [fakes, reals].flatMap((own) =>
      SAID.map((verdict) => String(own.filter((one) => one.verdict === verdict).length)),
    );
    lines.push([
      ...[name, value.toFixed(3), `${low.toFixed(3)} to ${high.toFixed(3)}`],
      ...[fakes.length, reals.length, origins.length - found.length].map(String),
      ...said,
    ]);
  }
  return formatTable(lines);
}
