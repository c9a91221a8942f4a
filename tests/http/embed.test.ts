import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServer, type BallastServer } from '#ballast/index.js';
import { modelsFolder } from './support/models.js';
import { formOf, jpeg } from './support/pictures.js';
import { ask, post } from './support/server.js';

let folder: string;
let ballast: BallastServer;
let parent: Server;
let url: string;

beforeAll(async () => {
  folder = await modelsFolder(['pictures']);
  ballast = await createServer({ models: folder, provider: 'cpu', threads: 1, logLevel: 'silent' });
  parent = express().use('/ai', ballast.app).listen(0, '127.0.0.1');
  await once(parent, 'listening');
  url = `http://127.0.0.1:${(parent.address() as AddressInfo).port}/ai`;
});
afterAll(async () => {
  parent.close();
  await ballast.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the app in another app', () => {
  it('answers as it does alone', async () => {
    const answer = await ask(`${url}/v1/models/pictures/predict?top=1`, {
      method: 'POST',
      body: formOf([await jpeg(0), await jpeg(1)]),
    });
    expect(answer.status).toBe(200);
    expect(answer.body['predictions']).toHaveLength(2);
    expect((await ask(`${url}/v2/models/pictures`)).body).toMatchObject({ name: 'pictures' });
    const unknown = await post(`${url}/v2/models/%2e%2e/infer`, {});
    expect(unknown.status).toBe(404);
    expect(unknown.body).toHaveProperty('error');
    expect((await ask(`${url}/v1/nothing`)).type).toBe('application/problem+json');
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('route="/v1/models/{model}/predict",code="200"} 1');
  });

  it('offers its models to code', async () => {
    const model = ballast.models.get('pictures');
    const { probabilities } = await model.predict({ image: [await jpeg(2)] }, { lame: false });
    expect(probabilities).toMatchObject({ rows: 1, cols: 10 });
    expect(() => ballast.models.get('nobody')).toThrow(/nobody/);
  });
});
