// The REST API for the target's token: requests, and what they are counted as.

import http from 'k6/http';
import { target } from './target.js';

const base = `${target.url}/api/v1`;

/** k6 counts by this name: a path without the ids and the query in it. */
const params = (method, path) => ({
  headers: { Authorization: `Bearer ${target.token}`, 'Content-Type': 'application/json', Accept: 'application/json' },
  tags: { name: `${method} ${path.replace(/\?.*/, '').replace(/\/\d+/g, '/{id}')}` },
  timeout: '30s',
});

const text = (body) => (body === undefined ? null : JSON.stringify(body));

/** The answer, whatever its status. */
export const ask = (method, path, body) => http.request(method, base + path, text(body), params(method, path));

/** The same without blocking the VU. */
export const askAsync = (method, path, body) =>
  http.asyncRequest(method, base + path, text(body), params(method, path));

/** The same for many GETs at a time. */
export const askAll = (paths) => http.batch(paths.map((path) => ['GET', base + path, null, params('GET', path)]));

/** The data of an answer that must be a success. */
export function data(answer) {
  if (answer.status >= 200 && answer.status < 300) return answer.body ? answer.json('data') : undefined;
  const what = `${answer.request.method} ${answer.request.url}`;
  throw new Error(`${what}: ${answer.status || answer.error} ${String(answer.body).slice(0, 300)}`);
}

export const get = (path) => data(ask('GET', path));
export const post = (path, body) => data(ask('POST', path, body));
export const patch = (path, body) => data(ask('PATCH', path, body));
export const remove = (path) => data(ask('DELETE', path));
