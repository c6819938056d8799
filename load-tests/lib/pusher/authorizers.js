// The three ways in which a client is let into private and presence channels. Each gives a function of socket id and
// channel name that tells what `pusher:subscribe` is to carry. `member` is who it is on presence channels.

import http from 'k6/http';
import { channelAuth } from './signature.js';

const isPresence = (channel) => channel.startsWith('presence-');
const isGuarded = (channel) => isPresence(channel) || channel.startsWith('private-');

/** Signed here, as the application's back end would do it. */
export const bySecret = (app, member) => (socketId, channel) => {
  if (!isGuarded(channel)) return { auth: '' };
  if (!isPresence(channel)) return { auth: channelAuth(app, socketId, channel) };
  const data = JSON.stringify(member);
  return { auth: channelAuth(app, socketId, channel, data), channel_data: data };
};

/** Signed by the server for a bearer token, as Laravel's back end does it; `client` tells one page from another. */
export const byToken = ({ url, app, token }, client) => async (socketId, channel) => {
  if (!isGuarded(channel)) return { auth: '' };
  const form = { socket_id: socketId, channel_name: channel, app_key: app.key, ...(client && { client }) };
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await http.asyncRequest('POST', `${url}/broadcasting/auth`, form, { headers });
  if (answer.status !== 200) throw new Error(`/broadcasting/auth answered ${answer.status || answer.error}`);
  return answer.json();
};

/** Not signed: the token stands in the address that the client connects to. */
export const byAddress = (member) => (socketId, channel) =>
  isPresence(channel) ? { auth: '', channel_data: JSON.stringify(member) } : { auth: '' };
