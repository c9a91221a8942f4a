import type { IncomingMessage } from 'node:http';
import type { Route } from './route.js';

/** A hot route that takes a request, and the decoded parameters of its path. */
export interface HotMatch {
  readonly route: Route;
  readonly params: Record<string, string>;
}

interface Template {
  readonly route: Route;
  readonly method: string;
  readonly segments: readonly string[];
}

/**
 * Finds the routes that every inference and every probe takes without asking Express, which costs several times what
 * Node's own HTTP does. Whatever is unusual about a path is left to Express.
 */
export class HotRoutes {
  private readonly templates: readonly Template[];

  /** @param routes - all routes; those marked hot are found */
  constructor(routes: readonly Route[]) {
    this.templates = routes
      .filter(({ hot }) => hot)
      .map((route) => ({ route, method: route.method.toUpperCase(), segments: route.path.split('/') }));
  }

  /** The hot route of a request; undefined where Express must look. */
  match({ method, url = '' }: IncomingMessage): HotMatch | undefined {
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    // Percent signs may be malformed, and are rare in names of models.
    if (path.includes('%')) return undefined;
    const segments = path.split('/');
    for (const template of this.templates) {
      if (template.method !== method || template.segments.length !== segments.length) continue;
      const params = matchSegments(template.segments, segments);
      if (params) return { route: template.route, params };
    }
    return undefined;
  }
}

function matchSegments(
  template: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (let i = 0; i < template.length; i++) {
    const part = template[i];
    if (part.startsWith('{')) {
      if (segments[i] === '') return undefined;
      params[part.slice(1, -1)] = segments[i]!;
    } else if (part !== segments[i]) return undefined;
  }
  return params;
}
