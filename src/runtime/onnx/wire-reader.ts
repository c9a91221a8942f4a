import { BallastError } from '../../errors.js';

/** The wire types of protobuf that ONNX uses; groups (3 and 4) are not among them. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/**
 * Walks over the fields of one protobuf message without decoding them: a field is a range of bytes until somebody
 * asks for its value. So the weights of a model are stepped over, never touched.
 * https://protobuf.dev/programming-guides/encoding/
 */
export class WireReader {
  private readonly view: Buffer;
  private position: number;

  /** Number of the field that the last `next` stood on. */
  field = 0;
  wireType = 0;
  /** Where the field begins (its tag), where its value begins, and where both end. */
  start = 0;
  from = 0;
  end = 0;

  /**
   * @param bytes - the whole file
   * @param from - where the message begins in it
   * @param to - where the message ends in it
   */
  constructor(
    readonly bytes: Uint8Array,
    from = 0,
    readonly to: number = bytes.length,
  ) {
    this.view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = from;
  }

  /**
   * Steps to the next field; false at the end of the message.
   * @throws BallastError invalid-model where the bytes are no protobuf, or end too early
   */
  next(): boolean {
    if (this.position >= this.to) return false;
    this.start = this.position;
    const tag = this.varint();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field < 1 || this.field > 0x1fffffff) throw notProtobuf(this.start);
    switch (this.wireType) {
      case VARINT:
        this.from = this.position;
        while (this.byte() >= 0x80);
        break;
      case FIXED64:
        this.take(8);
        break;
      case BYTES:
        this.take(this.varint());
        break;
      case FIXED32:
        this.take(4);
        break;
      default:
        throw notProtobuf(this.start);
    }
    this.end = this.position;
    return true;
  }

  /**
   * The field as an integer (int32, int64, bool or enum), exact up to 2^53.
   * @throws BallastError invalid-model where it is none
   */
  integer(): number {
    this.expect(VARINT);
    const after = this.position;
    this.position = this.from;
    const value = this.varint();
    this.position = after;
    return value;
  }

  /**
   * The field as text.
   * @throws BallastError invalid-model where it is none
   */
  text(): string {
    this.expect(BYTES);
    return this.view.toString('utf8', this.from, this.end);
  }

  /**
   * A reader over the field's own fields.
   * @throws BallastError invalid-model where it is no message
   */
  message(): WireReader {
    this.expect(BYTES);
    return new WireReader(this.bytes, this.from, this.end);
  }

  /**
   * Adds the integers of the field to `list`: one, or several where they are packed.
   * @throws BallastError invalid-model where it holds none
   */
  integers(list: number[]): void {
    if (this.wireType !== BYTES) {
      list.push(this.integer());
      return;
    }
    const after = this.position;
    this.position = this.from;
    while (this.position < after) list.push(this.varint());
    if (this.position !== after) throw notProtobuf(this.start);
  }

  private expect(wireType: number): void {
    if (this.wireType !== wireType) throw notProtobuf(this.start);
  }

  private take(length: number): void {
    if (length < 0) throw notProtobuf(this.start);
    if (length > this.to - this.position) {
      throw new BallastError(
        'invalid-model',
        `The ONNX model ends too early: at byte ${this.start} it announces ${length} bytes, ` +
          `and ${this.to - this.position} are left. The file was probably cut off while it was copied; get it again.`,
      );
    }
    this.from = this.position;
    this.position += length;
  }

  private byte(): number {
    if (this.position >= this.to) {
      throw new BallastError(
        'invalid-model',
        `The ONNX model ends in the middle of a field that begins at byte ${this.start}. ` +
          'The file was probably cut off while it was copied; get it again.',
      );
    }
    return this.bytes[this.position++];
  }

  private varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 9; i++) {
      const byte = this.byte();
      // Past 2^53 a sum of doubles is no longer exact, which only negative numbers reach; they end below.
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    const last = this.byte();
    if (last > 1) throw notProtobuf(this.start);
    return this.negative();
  }

  /** The ten bytes just read as a two's complement number. */
  private negative(): number {
    let value = 0n;
    for (let i = 1; i <= 10; i++) value = (value << 7n) | BigInt(this.bytes[this.position - i] & 0x7f);
    return Number(BigInt.asIntN(64, value));
  }
}

function notProtobuf(at: number): BallastError {
  return new BallastError(
    'invalid-model',
    `This is not an ONNX model, or it is damaged: the bytes at ${at} are not what an ONNX file has there.`,
  );
}
