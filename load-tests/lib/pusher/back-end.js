// The Pusher HTTP API as an application's back end uses it: publish, and ask how many are there.

import http from 'k6/http';
import { target } from '../target.js';
import { signedQuery } from './signature.js';

/** Channels that one request may name. */
const MOST_CHANNELS = 100;

function call(method, path, query, body) {
  const whole = `/apps/${target.app.id}${path}`;
  const url = `${target.url}${whole}?${signedQuery(target.app, method, whole, query, body)}`;
  const tags = { name: `${method} /apps/{id}${path.split('/', 2).join('/')}` };
  return http.request(method, url, body || null, { headers: { 'Content-Type': 'application/json' }, tags });
}

/** Publishes on any number of channels; true when the server has taken it for all of them. */
export function publish(channels, name, data) {
  let taken = true;
  for (let first = 0; first < channels.length; first += MOST_CHANNELS) {
    const some = channels.slice(first, first + MOST_CHANNELS);
    const body = JSON.stringify({ name, channels: some, data: JSON.stringify(data) });
    taken = call('POST', '/events', {}, body).status === 200 && taken;
  }
  return taken;
}

/** Members of all presence channels whose names begin so. */
export function userCount(prefix) {
  const answer = call('GET', '/channels', { filter_by_prefix: prefix, info: 'user_count' });
  if (answer.status !== 200) return 0;
  return Object.values(answer.json('channels')).reduce((sum, { user_count }) => sum + user_count, 0);
}

/** Sockets that are subscribed to a channel. */
export function subscriptionCount(channel) {
  const answer = call('GET', `/channels/${channel}`, { info: 'subscription_count' });
  return answer.status === 200 ? answer.json('subscription_count') ?? 0 : 0;
}
