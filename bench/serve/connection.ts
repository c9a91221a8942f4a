import { connect, type Socket } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
const STATUS_AT = 'HTTP/1.1 '.length;

/** An answer of the server. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/**
 * A keep-alive HTTP connection for load tests: sends requests made beforehand, one after another, and reads
 * answers that have a Content-Length. It does as little as can be done, because it runs on the cores of the server
 * that it measures.
 */
export class Connection {
  private received: Buffer | undefined;
  private settle: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  private constructor(private readonly socket: Socket) {}

  /** @throws Error where nobody listens */
  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let connection: Connection | undefined;
      const socket = connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        // One buffer for all that comes, without the stream around it.
        onread: {
          buffer: Buffer.allocUnsafeSlow(65_536),
          callback: (length, buffer) => {
            connection!.read((buffer as Buffer).subarray(0, length));
            return true;
          },
        },
      });
      socket.once('connect', () => {
        resolve((connection = new Connection(socket)));
      });
      socket.on('error', (error) => {
        reject(error);
        connection?.fail(error);
      });
      socket.on('close', () => {
        connection?.fail(new Error('The server closed the connection before its answer was whole.'));
      });
    });
  }

  /**
   * Sends a whole request.
   * @param request - head and body; the answer to the one before must have come
   * @throws Error where the server has closed the connection
   */
  send(request: Buffer): Promise<Answer> {
    if (this.socket.destroyed) return Promise.reject(new Error('The server has closed the connection.'));
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
      this.socket.write(request);
    });
  }

  close(): void {
    this.settle = undefined;
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    const data = this.received === undefined ? chunk : Buffer.concat([this.received, chunk]);
    const headEnd = data.indexOf(HEAD_END);
    const head = headEnd < 0 ? '' : data.toString('latin1', 0, headEnd);
    const length = Number(CONTENT_LENGTH.exec(head)?.[1] ?? NaN);
    const whole = headEnd + HEAD_END.length + length;
    if (headEnd >= 0 && Number.isNaN(length)) {
      this.fail(new Error(`The server answered without a Content-Length: ${head}`));
    } else if (headEnd < 0 || data.length < whole) {
      // The socket's buffer is written again by the next chunk.
      this.received = Buffer.from(data);
    } else if (data.length > whole) {
      this.fail(new Error('The server sent more than its answer.'));
    } else {
      this.received = undefined;
      const { settle } = this;
      this.settle = undefined;
      settle?.resolve({
        status: Number(head.slice(STATUS_AT, STATUS_AT + 3)),
        body: Buffer.from(data.subarray(headEnd + HEAD_END.length)),
      });
    }
  }

  private fail(error: Error): void {
    const { settle } = this;
    this.settle = undefined;
    settle?.reject(error);
    this.socket.destroy();
  }
}
