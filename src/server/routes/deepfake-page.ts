import { readFile } from 'node:fs/promises';
import { send } from '../respond.js';
import type { Exchange, Route } from '../route.js';

/** Nothing comes from elsewhere; pictures and videos that the user chose are shown from memory (`blob:`). */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // The files belong together: none may be of another version than the rest.
  'cache-control': 'no-cache',
};

/** Plain files of the package, which browsers read as they are. */
const folder = new URL('../../../pages/deepfake/', import.meta.url);

/** What the page loads; each file imports those that it needs. */
const SCRIPTS = [
  'page.js',
  'answer-text.js',
  'ask.js',
  'elements.js',
  'face-boxes.js',
  'options-form.js',
  'picture-view.js',
  'score-bar.js',
  'timeline.js',
  'timeline-drawing.js',
  'video-view.js',
];

/** `/deepfake`: a page to drop pictures or a video on, which shows what `POST /v1/deepfake` says of their faces. */
export function deepfakePageRoutes(): Route[] {
  return [
    {
      method: 'get',
      path: '/deepfake',
      handle: (exchange) => sendPage(exchange),
    },
    fileRoute('page.css', 'text/css; charset=utf-8'),
    ...SCRIPTS.map((file) => fileRoute(file, 'text/javascript; charset=utf-8')),
  ];
}

async function sendPage(exchange: Exchange): Promise<void> {
  // The page's links are relative, so that it works under any path; they need it to end in no slash.
  if (exchange.path.endsWith('/')) {
    send(exchange, 308, 'text/plain; charset=utf-8', 'The page is at ../deepfake', {
      location: '../deepfake',
    });
    return;
  }
  send(exchange, 200, 'text/html; charset=utf-8', await contentOf('page.html'), PAGE_HEADERS);
}

function fileRoute(file: string, contentType: string): Route {
  return {
    method: 'get',
    path: `/deepfake/${file}`,
    quiet: true,
    handle: async (exchange) => {
      send(exchange, 200, contentType, await contentOf(file), PAGE_HEADERS);
    },
  };
}

const contents = new Map<string, Promise<Buffer>>();

/** A file of the page, read once. */
function contentOf(file: string): Promise<Buffer> {
  const known = contents.get(file);
  if (known !== undefined) return known;
  const content = readFile(new URL(file, folder));
  contents.set(file, content);
  return content;
}
