// Where the load goes: `bellwire demo --load`, which serves these defaults, or what the environment names.

import http from 'k6/http';
import { number, text } from './settings.js';

export const target = {
  url: text('BELLWIRE_URL', 'http://127.0.0.1:8080').replace(/\/+$/, ''),
  app: {
    id: text('BELLWIRE_APP_ID', 'load'),
    key: text('BELLWIRE_APP_KEY', 'load-key'),
    secret: text('BELLWIRE_APP_SECRET', 'load-secret'),
  },
  /** The tenant, the token of one of its users with all abilities, and the ids of the first user and the last. */
  tenant: number('BELLWIRE_TENANT', 1),
  token: text('BELLWIRE_TOKEN', '1|loadloadloadloadloadloadloadloadloadload'),
  firstUser: number('BELLWIRE_FIRST_USER', 1),
  lastUser: number('BELLWIRE_LAST_USER', 1_000),
  /** A receiver that answers 2xx, in a network that the server may post to. */
  webhookUrl: text('BELLWIRE_WEBHOOK_URL', 'http://127.0.0.1:8081/'),
};

/** Ends the run at once, and says why, when nobody is there. Call it in `setup`. */
export function findServer() {
  const answer = http.get(`${target.url}/up`);
  if (answer.status === 200) return;
  const why = answer.error || `it answered ${answer.status}`;
  throw new Error(`There is no server at ${target.url} (${why}). Start \`bellwire demo --load\`, or set BELLWIRE_URL.`);
}

/** Open WebSockets, as the server counts them. */
export const connections = () => http.get(`${target.url}/api/v1/websocket/health`).json('connections');
