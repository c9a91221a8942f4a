import { Connection } from './connection.js';
import { getRequest, multipartRequest } from './requests.js';

/** Requests of one image. */
export const SINGLES = 1000;
const SINGLE_CONNECTIONS = 32;
/** Images in the request that LAME adapts, again and again beside them. */
const GROUP = 64;
/** How far a probability may be from what it is when nobody else asks. */
const TOLERANCE = 1e-4;

/** A sample's probabilities, by class. */
type Probabilities = ReadonlyMap<number, number>;

interface PredictAnswer {
  readonly predictions: readonly {
    readonly top: readonly { readonly index: number; readonly probability: number }[];
  }[];
}

/** How answers under load compare with answers alone. */
export interface MixedResult {
  readonly singles: number;
  readonly groups: number;
  readonly worstSingle: number;
  readonly worstGroup: number;
  /** Samples in a forward pass, on average, while all asked at once: above 1, requests were merged. */
  readonly samplesPerPass: number;
  readonly met: boolean;
}

/**
 * Asks for every single image and for the group alone first, then for all at once, and compares.
 * @param model - a model with LAME on
 * @param classes - its number of classes
 * @param pictures - as many as there are single requests
 * @throws Error where an answer is lost or is not 200
 */
export async function runMixed(
  port: number,
  model: string,
  classes: number,
  pictures: readonly Buffer[],
): Promise<MixedResult> {
  const path = `/v1/models/${model}/predict?top=${classes}`;
  const singles = Array.from({ length: SINGLES }, (_, i) =>
    multipartRequest(path, pictures[i % pictures.length]),
  );
  const group = multipartRequest(path, ...pictures.slice(0, GROUP));
  const [groupAlone] = await ask(port, [group], 1);
  const singlesAlone = await ask(port, singles, 1);

  const singlesEnd = new AbortController();
  const before = await passes(port, model);
  const groupAnswers: Probabilities[][] = [];
  const beside = (async () => {
    while (!singlesEnd.signal.aborted) groupAnswers.push(...(await ask(port, [group], 1)));
  })();
  const singleAnswers = await ask(port, singles, SINGLE_CONNECTIONS);
  singlesEnd.abort();
  await beside;
  const after = await passes(port, model);

  const worstSingle = worst(singleAnswers, singlesAlone);
  const worstGroup = worst(
    groupAnswers,
    groupAnswers.map(() => groupAlone),
  );
  return {
    singles: singleAnswers.filter((answer) => answer.length === 1).length,
    groups: groupAnswers.length,
    worstSingle,
    worstGroup,
    samplesPerPass: (after.samples - before.samples) / (after.count - before.count),
    met: Math.max(worstSingle, worstGroup) <= TOLERANCE && singleAnswers.length === SINGLES,
  };
}

/** Forward passes so far, and the samples in them, as the metrics have it. */
async function passes(port: number, model: string): Promise<{ samples: number; count: number }> {
  const connection = await Connection.open(port);
  const { body } = await connection.send(getRequest('/metrics'));
  connection.close();
  const read = (name: string): number => {
    const line = body
      .toString()
      .split('\n')
      .find((text) => text.startsWith(`${name}{`) && text.includes(`model="${model}"`));
    return Number(line?.split(' ').at(-1));
  };
  return { samples: read('ballast_batch_size_sum'), count: read('ballast_batch_size_count') };
}

/** Sends each request once, from some connections, and reads the answers in the order of the requests. */
async function ask(
  port: number,
  requests: readonly Buffer[],
  connections: number,
): Promise<Probabilities[][]> {
  const answers: Probabilities[][] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    const connection = await Connection.open(port);
    while (next < requests.length) {
      const index = next++;
      const { status, body } = await connection.send(requests[index]);
      if (status !== 200) throw new Error(`The server answered ${status}: ${body.toString().slice(0, 500)}`);
      const { predictions } = JSON.parse(body.toString()) as PredictAnswer;
      answers[index] = predictions.map(
        ({ top }) => new Map(top.map(({ index: label, probability }) => [label, probability])),
      );
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return answers;
}

/** The greatest difference between two probabilities of the same class. */
function worst(answers: readonly Probabilities[][], alone: readonly Probabilities[][]): number {
  let most = 0;
  answers.forEach((samples, request) => {
    const expected = alone[request];
    if (samples.length !== expected.length) throw new Error(`Request ${request} lost samples.`);
    samples.forEach((probabilities, sample) => {
      for (const [label, probability] of expected[sample]) {
        const got = probabilities.get(label);
        if (got === undefined) throw new Error(`Request ${request} lacks class ${label}.`);
        most = Math.max(most, Math.abs(got - probability));
      }
    });
  });
  return most;
}
