// pusher-js as an application sets it up: host and port are all that it is told of bellwire.

import Pusher from 'pusher-js';

const open = new Set();

// The WebSocket inside pusher-js leaves a timer of 30 s behind when it is closed while it closes; the test
// process need not wait for that.
const { setTimeout } = globalThis;
globalThis.setTimeout = (callback, delay, ...rest) => {
  const timer = setTimeout(callback, delay, ...rest);
  return delay === 30_000 ? timer.unref() : timer;
};

function connect(key, server, options) {
  const pusher = new Pusher(key, {
    cluster: '',
    wsHost: '127.0.0.1',
    wsPort: server.port,
    forceTLS: false,
    enabledTransports: ['ws'],
    ...options,
  });
  open.add(pusher);
  return pusher;
}

/** With the token on each request to /broadcasting/auth. */
export function withAuthorizer(server, user, options = {}) {
  return connect(server.app.key, server, {
    channelAuthorization: {
      endpoint: `${server.url}/broadcasting/auth`,
      headers: { Authorization: `Bearer ${user.token}` },
    },
    ...options,
  });
}

/** With the token in the query of the connect, behind the key; then no channel needs a signature. */
export function withToken(server, user, options = {}) {
  const key = `${server.app.key}?token=${encodeURIComponent(user.token)}&protocol=7&_=`;
  const customHandler = ({ channelName }, callback) => {
    const member = channelName.startsWith('presence-') && { channel_data: JSON.stringify({ user_id: `${user.id}` }) };
    callback(null, { auth: '', ...member });
  };
  return connect(key, server, { channelAuthorization: { customHandler }, ...options });
}

/** With nothing but the key. */
export function anonymous(server, options = {}) {
  return connect(options.key ?? server.app.key, server, options);
}

/** Ends every client, so that the test process can end. */
export function disconnectAll() {
  for (const pusher of open) pusher.disconnect();
  open.clear();
}
