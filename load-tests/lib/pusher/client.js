// A Pusher client for k6 that behaves as pusher-js 8 does: it stays connected, comes back as the close code says,
// and subscribes again to all that it was subscribed to.

import { now } from '../clock.js';
import { target } from '../target.js';
import { bySecret } from './authorizers.js';
import { Channel } from './channel.js';
import { NO_CODE, comeback } from './close-codes.js';
import { Connection } from './connection.js';
import { Emitter } from './emitter.js';

/**
 * Emits `connected` (how long it took, and when); `unreached` (no connection came about) and `lost` (it ended), each
 * with the code and followed by another try; `overlooked` (k6 lost the server's welcome; another try follows);
 * `failed` (the code; there is no other try); `error` (the server's words).
 */
export class Pusher extends Emitter {
  #authorize;
  #url;
  #channels = new Map();
  #connection;
  #retry;

  /** `authorize` is one of `authorizers.js`; `token` goes into the address. */
  constructor({ authorize = bySecret(target.app), token } = {}) {
    super();
    this.#authorize = authorize;
    const address = `${target.url.replace(/^http/, 'ws')}/app/${target.app.key}`;
    const query = 'protocol=7&client=k6&version=8.6.0&flash=false';
    this.#url = `${address}?${query}${token ? `&token=${encodeURIComponent(token)}` : ''}`;
  }

  connect() {
    const connection = new Connection(this.#url);
    this.#connection = connection;
    connection.bind('established', (socketId, came) => {
      this.socketId = socketId;
      this.emit('connected', came - connection.opened, came);
      for (const channel of this.#channels.values()) this.#join(channel);
    });
    connection.bind('message', (...message) => this.#read(...message));
    connection.bind('ended', (code) => this.#end(code));
    connection.bind('overlooked', () => this.connect().emit('overlooked'));
    return this;
  }

  /** The channel; it is joined as soon as there is a connection, and again after each comeback. */
  subscribe(name) {
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = new Channel(this, name);
      this.#channels.set(name, channel);
      if (this.socketId) this.#join(channel);
    }
    return channel;
  }

  unsubscribe(name) {
    if (this.#channels.delete(name)) this.send('pusher:unsubscribe', { channel: name });
  }

  send(event, data, channel) {
    this.#connection?.send(event, data, channel);
  }

  /** Milliseconds until the server answered a ping. */
  async ping() {
    const asked = now();
    this.send('pusher:ping', {});
    const [came] = await this.next('pong');
    return came - asked;
  }

  /**
   * Loses the connection, and comes back after so many milliseconds. k6 cannot cut it: it says goodbye with 1006, which
   * no goodbye may say, and so the server takes the connection for broken and not for closed.
   */
  drop(delay) {
    this.#comeBackAfter(delay);
    this.#leave(NO_CODE);
  }

  /** Ends it for good. */
  disconnect() {
    clearTimeout(this.#retry);
    this.#leave(1_000);
  }

  #leave(code) {
    const connection = this.#connection;
    this.#forget();
    connection?.close(code);
  }

  #forget() {
    this.#connection = undefined;
    this.socketId = undefined;
  }

  /** The connection ended, and not by us. */
  #end(code) {
    if (!this.#connection) return;
    const wasUp = this.socketId !== undefined;
    this.#forget();
    const back = comeback(code);
    if (!back) return this.emit('failed', code);
    if (back.tls) this.#url = this.#url.replace(/^ws:/, 'wss:');
    this.#comeBackAfter(back.delay);
    this.emit(wasUp ? 'lost' : 'unreached', code);
  }

  #comeBackAfter(delay) {
    this.#retry = setTimeout(() => this.connect(), delay);
  }

  async #join(channel) {
    const socketId = this.socketId;
    try {
      const credentials = await this.#authorize(socketId, channel.name);
      // Its connection may be gone by now.
      if (socketId === this.socketId) this.send('pusher:subscribe', { channel: channel.name, ...credentials });
    } catch (error) {
      channel.receive('pusher:subscription_error', { error: error.message }, now());
    }
  }

  #read(event, name, data, came) {
    if (name !== undefined) this.#channels.get(name)?.receive(event, data, came);
    else if (event === 'pusher:pong') this.emit('pong', came);
    else if (event === 'pusher:error') this.emit('error', data);
  }
}
