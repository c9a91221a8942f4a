import type { ServerContext } from '../context.js';
import type { Route } from '../route.js';
import { deepfakeRoutes } from './deepfake.js';
import { deepfakePageRoutes } from './deepfake-page.js';
import { docsRoutes } from './docs.js';
import { healthRoutes } from './health.js';
import { inferRoutes } from './infer.js';
import { metricsRoutes } from './metrics.js';
import { modelRoutes } from './models.js';
import { jobRoutes } from './jobs.js';
import { predictRoutes } from './predict.js';
import { promptRoutes } from './prompts.js';
import { repositoryRoutes } from './repository.js';
import { streamRoutes } from './streams.js';

/** Every route of the server. */
export function allRoutes(context: ServerContext): Route[] {
  const routes = [
    ...predictRoutes(context),
    ...inferRoutes(context),
    ...healthRoutes(context),
    ...modelRoutes(context),
    ...repositoryRoutes(context),
    ...streamRoutes(context),
    ...deepfakeRoutes(context),
    ...promptRoutes(context),
    ...jobRoutes(context),
    ...metricsRoutes(context),
  ];
  return [...routes, ...docsRoutes(routes), ...deepfakePageRoutes()];
}
