/**
 * `node:http` with nothing behind it, which answers every path at once: what a probe of it waits for, it waits for the
 * machine. Its argument is the port.
 */
import { createServer } from 'node:http';

const ANSWER = Buffer.from('{"live":true}');

createServer((_, res) => {
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length }).end(ANSWER);
}).listen(Number(process.argv[2]), '127.0.0.1');
