import { z } from 'zod';
import { hasEnded, type Job } from '../../pipeline/jobs.js';
import type { ServerContext } from '../context.js';
import { eventText, openEvents } from '../event-stream.js';
import { jobBody, jobListSchema, jobSchema, jobText } from '../job-text.js';
import { jsonAnswer, problems } from '../operation.js';
import { send, sendJson } from '../respond.js';
import type { Exchange, Route } from '../route.js';

const tags = ['jobs'];
const requestParams = { path: z.object({ id: z.string() }) };

/** At most one progress event in this many milliseconds. */
const PROGRESS_MS = 100;

/** `/v1/jobs`: what is being trained, how far it is, and an end to it. */
export function jobRoutes(context: ServerContext): Route[] {
  const { jobs } = context.models;
  return [
    {
      method: 'get',
      path: '/v1/jobs',
      operation: {
        summary: 'Every job, the latest first',
        tags,
        responses: { 200: jsonAnswer('The jobs', jobListSchema) },
      },
      handle: (exchange) => {
        sendJson(exchange, { jobs: jobs.list().map(jobBody) });
      },
    },
    {
      method: 'get',
      path: '/v1/jobs/{id}',
      operation: {
        summary: 'A job',
        tags,
        requestParams,
        responses: { 200: jsonAnswer('How far it is, or what came of it', jobSchema), ...problems(['404']) },
      },
      handle: (exchange) => {
        send(exchange, 200, 'application/json', jobText(jobs.get(idOf(exchange))));
      },
    },
    {
      method: 'get',
      path: '/v1/jobs/{id}/events',
      operation: {
        summary: 'A job, as it goes',
        description:
          'Server-sent events: progress, with the job as it is then; at its end its state as the last one.',
        tags,
        requestParams,
        responses: {
          200: { description: 'Events', content: { 'text/event-stream': { schema: z.string() } } },
          ...problems(['404']),
        },
      },
      handle: (exchange) => {
        sendJobEvents(context, exchange);
      },
    },
    {
      method: 'delete',
      path: '/v1/jobs/{id}',
      operation: {
        summary: 'Cancel a job',
        description: 'One that has ended stays as it is.',
        tags,
        requestParams,
        responses: { 200: jsonAnswer('The job', jobSchema), ...problems(['404']) },
      },
      handle: async (exchange) => {
        send(exchange, 200, 'application/json', jobText(await jobs.cancel(idOf(exchange))));
      },
    },
  ];
}

function sendJobEvents({ models: { jobs } }: ServerContext, exchange: Exchange): void {
  const id = idOf(exchange);
  const first = jobs.get(id);
  const { res } = exchange;
  openEvents(exchange);
  let last = 0;
  const tell = (job: Job): void => {
    const now = performance.now();
    if (!hasEnded(job) && now - last < PROGRESS_MS) return;
    last = now;
    const text = eventText(hasEnded(job) ? job.state : 'progress', jobText(job));
    if (hasEnded(job)) res.end(text);
    else res.write(text);
  };
  tell(first);
  if (hasEnded(first)) return;
  const unwatch = jobs.watch(id, tell);
  res.once('close', unwatch);
}

function idOf({ params }: Exchange): string {
  return params['id'] ?? '';
}
