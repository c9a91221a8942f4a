export { createServer, type BallastServer } from './server/app.js';
export { type Listening } from './server/lifecycle.js';
export { type ServerConfig, type ServerOptions } from './server/config.js';
export { BallastError, type ErrorCode } from './errors.js';
