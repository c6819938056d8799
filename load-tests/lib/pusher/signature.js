// The signatures of the Pusher protocol and of its HTTP API: hex HMAC-SHA256 with the app's secret.

import { hmac, md5 } from 'k6/crypto';

const sign = (app, text) => hmac('sha256', app.secret, text, 'hex');

/** Of a subscription; `data` is the channel data of a presence channel. */
export function channelAuth(app, socketId, channel, data) {
  const text = data === undefined ? `${socketId}:${channel}` : `${socketId}:${channel}:${data}`;
  return `${app.key}:${sign(app, text)}`;
}

/** The query that makes a request to the HTTP API valid for ten minutes; `query` has its other parameters. */
export function signedQuery(app, method, path, query = {}, body = '') {
  const all = { ...query, auth_key: app.key, auth_timestamp: Math.floor(Date.now() / 1_000), auth_version: '1.0' };
  if (body) all.body_md5 = md5(body, 'hex');
  const names = Object.keys(all).sort();
  const signature = sign(app, [method, path, names.map((name) => `${name}=${all[name]}`).join('&')].join('\n'));
  const pairs = names.map((name) => `${name}=${encodeURIComponent(all[name])}`);
  return `${pairs.join('&')}&auth_signature=${signature}`;
}
