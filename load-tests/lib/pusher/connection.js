// One WebSocket that speaks Pusher's protocol 7, from handshake to end. It keeps itself alive as pusher-js does.

import { WebSocket } from 'k6/experimental/websockets';
import { now } from '../clock.js';
import { NO_CODE } from './close-codes.js';
import { Emitter } from './emitter.js';

/** The longest silence that pusher-js bears, and how long it waits for the pong that ends it. */
const ACTIVITY_TIMEOUT = 120_000;
const PONG_TIMEOUT = 30_000;
/** How long a welcome is waited for before the server is asked whether it has sent one. */
const WELCOME_TIMEOUT = 1_000;

/**
 * Emits `established` (the socket id), `message` (event, channel, data, when it came) and, once, `ended` (the code) or
 * `overlooked`. All times are milliseconds since 1970.
 *
 * k6 drops a message that it reads before its own note that the socket is open, which happens to one welcome in some
 * thousands: its two threads race. The server answers in order, so a pong with no welcome before it says that this was
 * such a one; then `overlooked` is emitted, and the connection is of no use.
 */
export class Connection extends Emitter {
  #socket;
  #timer;
  #silence = ACTIVITY_TIMEOUT;
  #heard;
  #established = false;
  #code = NO_CODE;
  #ended = false;

  constructor(url) {
    super();
    this.opened = now();
    this.#heard = this.opened;
    this.#socket = new WebSocket(url);
    this.#socket.onopen = () => this.#watch(WELCOME_TIMEOUT, () => this.send('pusher:ping', {}));
    this.#socket.onmessage = ({ data, timestamp }) => this.#read(JSON.parse(data), timestamp);
    // k6 gives no code to `onclose`, but tells of each that is not 1000 or 1001 in words before.
    this.#socket.onerror = ({ error }) => (this.#code = Number(/close (\d{4})/.exec(error)?.[1] ?? NO_CODE));
    this.#socket.onclose = () => this.#end('ended', this.#code);
  }

  send(event, data, channel) {
    // What is undefined is not written.
    if (!this.#ended) this.#socket.send(JSON.stringify({ event, data, channel }));
  }

  /** Ends it; nothing more is emitted but that. */
  close(code = 1_000) {
    this.#end('ended', code);
    this.#socket.close(code);
  }

  #read({ event, channel, data }, came) {
    if (this.#ended) return;
    this.#heard = came;
    if (event === 'pusher:ping') this.send('pusher:pong', {});
    const content = typeof data === 'string' ? decode(data) : data;
    if (event === 'pusher:connection_established') {
      this.#established = true;
      this.#silence = Math.min(ACTIVITY_TIMEOUT, content.activity_timeout * 1_000);
      this.#watch(this.#silence, () => this.#checkSilence());
      this.emit('established', content.socket_id, came);
    } else if (event === 'pusher:pong' && !this.#established) {
      this.#end('overlooked');
      this.#socket.close(1_000);
    } else {
      this.emit('message', event, channel, content, came);
    }
  }

  /** Looks at the clock once a silence and not at each message. */
  #checkSilence() {
    const left = this.#heard + this.#silence - now();
    if (left > 0) return this.#watch(left, () => this.#checkSilence());
    const asked = now();
    this.send('pusher:ping', {});
    this.#watch(PONG_TIMEOUT, () => (this.#heard < asked ? this.close(NO_CODE) : this.#checkSilence()));
  }

  #watch(milliseconds, check) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(check, milliseconds);
  }

  #end(how, code) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.emit(how, code);
  }
}

/** An application's data is JSON or any other text. */
function decode(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
