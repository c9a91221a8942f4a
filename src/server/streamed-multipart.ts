import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import { BallastError } from '../errors.js';
import type { EncodedInputs } from '../pipeline/serving.js';
import { tooManyFiles } from './too-many-files.js';

const MAX_HEADER_BYTES = 16_384;

/** What a multipart body may hold. */
export interface FormRules {
  /** The model's inputs: the names that parts may have. */
  readonly names: readonly string[];
  /** Files, over all inputs. */
  readonly maxFiles: number;
}

/**
 * Reads the files of a multipart/form-data body while it arrives.
 * @param contentType - the header, with the boundary
 * @param feed - hands the body's chunks to its argument, which throws as soon as one of them is wrong
 * @returns the files by input, in the order in which they came
 * @throws BallastError invalid-input for a part that is no file of an input, or a body that is not multipart;
 *   too-large for too many files
 */
export async function readStreamedMultipart(
  contentType: string,
  rules: FormRules,
  feed: (write: (chunk: Buffer) => void) => Promise<void>,
): Promise<EncodedInputs> {
  const form = new Form(contentType, rules);
  await feed((chunk) => {
    form.write(chunk);
  });
  return form.end();
}

/** The files of one input: in their order, or each with the number of its sample, `audio[3]`. */
class FilesOfInput {
  readonly list: (Uint8Array | null)[] = [];
  private isNumbered: boolean | undefined;

  constructor(
    private readonly name: string,
    private readonly maxFiles: number,
  ) {}

  /** @returns what is wrong with the file, if anything */
  add(bytes: Uint8Array, sample: number | undefined): BallastError | undefined {
    this.isNumbered ??= sample !== undefined;
    if (this.isNumbered !== (sample !== undefined)) {
      return this.refuse(
        `Some files came as "${this.name}" and others with a sample's number; give all or none.`,
      );
    }
    const at = sample ?? this.list.length;
    if (at >= this.maxFiles)
      return this.refuse(
        `"${this.name}[${at}]" is beyond the ${this.maxFiles} samples that a request may have.`,
      );
    while (this.list.length <= at) this.list.push(null);
    if (this.list[at] !== null) return this.refuse(`Two files came for one sample, "${this.name}[${at}]".`);
    this.list[at] = bytes;
    return undefined;
  }

  /** Numbered files may end before the last sample: those after them are missing. */
  endAt(samples: number): void {
    if (this.isNumbered) while (this.list.length < samples) this.list.push(null);
  }

  private refuse(why: string): BallastError {
    return new BallastError('invalid-input', why);
  }
}

class Form {
  private readonly files: Map<string, FilesOfInput>;
  private readonly parser: BusboyInstance;
  private readonly parsed: Promise<void>;
  private failure: BallastError | undefined;

  constructor(
    contentType: string,
    private readonly rules: FormRules,
  ) {
    this.files = new Map(rules.names.map((name) => [name, new FilesOfInput(name, rules.maxFiles)]));
    this.parser = openParser(contentType, rules.maxFiles);
    this.parser
      .on('file', (name: string | undefined, stream: BusboyFileStream) => {
        this.collect(name, stream);
      })
      .on('field', (name: string | undefined) => {
        this.refusePart(name, 'text field');
      });
    for (const limit of ['filesLimit', 'partsLimit']) {
      this.parser.on(limit, () => {
        this.failure ??= tooManyFiles(rules.maxFiles);
      });
    }
    this.parsed = new Promise<void>((resolve, reject) => {
      this.parser.on('finish', resolve).on('error', (error: Error) => {
        reject(new BallastError('invalid-input', `The multipart body is broken: ${error.message}.`));
      });
    });
    // It may be rejected while chunks still arrive, before anyone awaits it.
    this.parsed.catch((error: unknown) => {
      this.failure ??= error as BallastError;
    });
  }

  write(chunk: Buffer): void {
    this.parser.write(chunk);
    if (this.failure) throw this.failure;
  }

  async end(): Promise<EncodedInputs> {
    this.parser.end();
    await this.parsed;
    if (this.failure) throw this.failure;
    const all = [...this.files.values()];
    const samples = Math.max(...all.map(({ list }) => list.length));
    for (const files of all) files.endAt(samples);
    return Object.fromEntries([...this.files].map(([name, files]) => [name, files.list]));
  }

  private collect(name: string | undefined, stream: BusboyFileStream): void {
    const numbered = /^(.*)\[(\d{1,9})\]$/s.exec(name ?? '');
    const sample = numbered === null ? undefined : Number(numbered[2]);
    const files = this.files.get(numbered?.[1] ?? name ?? '');
    if (!files) this.refusePart(name, 'file');
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => {
      if (files) chunks.push(chunk);
    });
    stream.on('end', () => {
      const bytes = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      this.failure ??= files?.add(bytes, sample);
    });
    // Told by the parser as well.
    stream.on('error', () => undefined);
  }

  private refusePart(name = '', what: string): void {
    const known = this.rules.names.map((input) => `"${input}"`).join(', ');
    this.failure ??= new BallastError(
      'invalid-input',
      `A ${what} came as ${JSON.stringify(name.slice(0, 64))}; this model takes files as ${known}. Options such as stream and lame go into the query.`,
    );
  }
}

function openParser(contentType: string, maxFiles: number): BusboyInstance {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      // A part with a media type of its own is a file, whether or not its sender gave it a file's name.
      isPartAFile: (_name, partType, filename) => filename !== undefined || partType !== 'text/plain',
      limits: {
        files: maxFiles,
        parts: maxFiles + 1,
        fieldSize: 1024,
        headerPairs: 64,
        headerSize: MAX_HEADER_BYTES,
      },
    });
  } catch {
    throw new BallastError(
      'invalid-input',
      'The Content-Type "multipart/form-data" names no boundary; let your HTTP client write that header.',
    );
  }
}
