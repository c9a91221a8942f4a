/** What the server, or the way to it, said against a request. */
export class Problem extends Error {
  /**
   * @param {string} title - in a few words
   * @param {string} detail - what was wrong and what would be right
   */
  constructor(title, detail) {
    super(detail);
    this.title = title;
  }
}

/**
 * Asks what the models of the server are.
 * @returns {Promise<string[]>} names of those of task deepfake that are ready
 * @throws {Problem}
 */
export async function deepfakeModels() {
  let response;
  try {
    response = await fetch('v1/models');
  } catch {
    throw unreachable();
  }
  const text = await response.text();
  if (!response.ok) throw problemOf(response.status, text);
  const { models } = JSON.parse(text);
  const fitting = models.filter(({ task, state }) => task === 'deepfake' && state === 'READY');
  return [...new Set(fitting.map(({ name }) => name))];
}

/**
 * Sends files to be judged. XMLHttpRequest, since fetch tells nothing of an upload's progress.
 * @param {File[]} files - pictures, or one video
 * @param {boolean} video
 * @param {URLSearchParams} options - the query
 * @param {{ signal: AbortSignal, onProgress: (sent: number) => void }} watch - sent is in [0, 1]
 * @returns {Promise<object>} the answer of POST /v1/deepfake
 * @throws {Problem}; DOMException AbortError where the signal said so
 */
export function judge(files, video, options, { signal, onProgress }) {
  const form = new FormData();
  for (const file of files) form.append(video ? 'video' : 'image', file);
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    request.open('POST', `v1/deepfake?${options}`);
    request.upload.onprogress = ({ loaded, total }) => {
      onProgress(total > 0 ? loaded / total : 0);
    };
    request.upload.onload = () => {
      onProgress(1);
    };
    request.onload = () => {
      if (request.status !== 200) {
        reject(problemOf(request.status, request.responseText));
        return;
      }
      try {
        resolve(JSON.parse(request.responseText));
      } catch {
        reject(new Problem('Not an answer', 'What came back is no JSON; is this the server itself?'));
      }
    };
    request.onerror = () => {
      reject(unreachable());
    };
    request.onabort = () => {
      reject(new DOMException('cancelled', 'AbortError'));
    };
    signal.addEventListener('abort', () => {
      request.abort();
    });
    request.send(form);
  });
}

/** Problem details of RFC 9457, or whatever a proxy in between said. */
function problemOf(status, text) {
  try {
    const { title, detail } = JSON.parse(text);
    return new Problem(title ?? `Status ${status}`, detail ?? 'The server gave no reason.');
  } catch {
    return new Problem(`Status ${status}`, text.slice(0, 300) || 'The server gave no reason.');
  }
}

function unreachable() {
  return new Problem(
    'No answer',
    'The connection to the server broke. It may be gone, or the file may be larger than it, or a proxy before it, takes.',
  );
}
