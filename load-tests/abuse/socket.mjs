// A WebSocket client on a bare TCP socket, which can do what no library lets one do: stop reading, send frames that
// lie, reset the connection. It speaks as much of the Pusher protocol as the experiments need.

import { createHmac } from 'node:crypto';
import { connect } from 'node:net';
import { app } from './server.mjs';

export const PATH = `/app/${app.key}?protocol=7&client=abuse&version=1`;
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** The value of `auth` for a channel. */
export function signature(socketId, channel, channelData) {
  const signed = [socketId, channel, ...(channelData === undefined ? [] : [channelData])].join(':');
  return `${app.key}:${createHmac('sha256', app.secret).update(signed).digest('hex')}`;
}

/** A frame as clients send it, with a mask of zeros. */
export function frame(opcode, payload = Buffer.alloc(0), { fin = true, declared } = {}) {
  const length = declared ?? payload.length;
  const head = Buffer.alloc(length < 126 ? 6 : length < 65_536 ? 8 : 14);
  head[0] = (fin ? 0x80 : 0) | opcode;
  if (length < 126) head[1] = 0x80 | length;
  else if (length < 65_536) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

export class Socket {
  #rest = Buffer.alloc(0);
  #upgraded = false;
  #waiting = [];

  /**
   * Dials; `from` is the local address, `headers` go with the upgrade. The promise `opened` gives the socket when the
   * upgrade is through and is rejected with the status when it is refused; `closed` gives `{ code, at }`, where `at`
   * is when the goodbye came, or the end if none did.
   */
  constructor(port, { path = PATH, from, headers = {}, onEvent } = {}) {
    this.onEvent = onEvent;
    this.startedAt = performance.now();
    this.tcp = connect({ host: '127.0.0.1', port, localAddress: from, noDelay: true });
    this.opened = new Promise((resolve, reject) => Object.assign(this, { resolveOpen: resolve, rejectOpen: reject }));
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.tcp.once('close', () => {
        this.isClosed = true;
        this.rejectOpen(new Error('the connection ended'));
        for (const { reject } of this.#waiting.splice(0)) reject(new Error(`closed with ${this.code}`));
        resolve({ code: this.code, at: this.closedAt ?? performance.now() });
      });
    });
    this.tcp.on('error', () => {});
    this.tcp.on('data', (bytes) => this.#read(bytes));
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.tcp.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${lines.join('')}\r\n`,
    );
  }

  /** Connects and waits for `connection_established`. */
  static async open(port, options) {
    const socket = new Socket(port, options);
    const established = socket.next('pusher:connection_established');
    established.catch(() => {});
    await socket.opened;
    socket.id = JSON.parse((await established).data).socket_id;
    return socket;
  }

  #read(bytes) {
    let buffer = this.#rest.length ? Buffer.concat([this.#rest, bytes]) : bytes;
    if (!this.#upgraded) {
      const end = buffer.indexOf('\r\n\r\n');
      if (end < 0) {
        this.#rest = buffer;
        return;
      }
      const status = Number(buffer.subarray(9, 12));
      if (status !== 101) {
        this.rejectOpen(Object.assign(new Error(`refused with ${status}`), { status }));
        this.tcp.destroy();
        return;
      }
      this.#upgraded = true;
      this.resolveOpen(this);
      buffer = buffer.subarray(end + 4);
    }
    for (;;) {
      if (buffer.length < 2) break;
      let [length, at] = [buffer[1] & 0x7f, 2];
      if (length === 126) {
        if (buffer.length < 4) break;
        [length, at] = [buffer.readUInt16BE(2), 4];
      } else if (length === 127) {
        if (buffer.length < 10) break;
        [length, at] = [Number(buffer.readBigUInt64BE(2)), 10];
      }
      if (buffer.length < at + length) break;
      this.#frame(buffer[0] & 0x0f, buffer.subarray(at, at + length));
      buffer = buffer.subarray(at + length);
    }
    this.#rest = buffer;
  }

  #frame(opcode, payload) {
    if (opcode === OPCODE.text) this.#text(payload.toString());
    else if (opcode === OPCODE.ping) this.frame(OPCODE.pong, payload);
    else if (opcode === OPCODE.pong) this.onPong?.();
    else if (opcode === OPCODE.close) {
      this.code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.closedAt = performance.now();
      this.tcp.end(frame(OPCODE.close, payload.subarray(0, 2)));
    }
  }

  #text(text) {
    const message = JSON.parse(text);
    if (message.event === 'pusher:ping') this.event('pusher:pong', {});
    const at = this.#waiting.findIndex(({ event }) => event === message.event);
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(message);
    this.onEvent?.(message);
  }

  /** The next message with this event. */
  next(event) {
    return new Promise((resolve, reject) => {
      if (this.isClosed) reject(new Error(`closed with ${this.code}`));
      else this.#waiting.push({ event, resolve, reject });
    });
  }

  frame(opcode, payload, options) {
    return this.tcp.write(frame(opcode, payload, options));
  }

  event(event, data, channel) {
    return this.frame(OPCODE.text, Buffer.from(JSON.stringify({ event, channel, data })));
  }

  /** Subscribes, with a signature where the name asks for one, and waits for the answer. */
  async join(channel) {
    const done = this.next('pusher_internal:subscription_succeeded');
    this.event('pusher:subscribe', { channel, auth: signature(this.id, channel) });
    return done;
  }

  /** Milliseconds from a Pusher ping to its pong. */
  async roundTrip() {
    const [began, pong] = [performance.now(), this.next('pusher:pong')];
    this.event('pusher:ping', {});
    await pong;
    return performance.now() - began;
  }

  /** RST, as when a cable is cut by a firewall. */
  reset() {
    this.tcp.resetAndDestroy();
  }
}
