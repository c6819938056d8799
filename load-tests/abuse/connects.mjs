// 7, 8 and 9: connections that come slowly, that say nothing, and that are too many.

import { connect } from 'node:net';
import { sleep, percentile } from './api.mjs';
import { Crowd } from './crowd.mjs';
import { Server } from './server.mjs';
import { PATH, Socket } from './socket.mjs';

/** Handshakes of one byte a second, half of them silent after the first, while good clients connect. */
export async function slowHandshakes() {
  const server = await Server.start();
  const crowd = await Crowd.start(server, 'L1');
  try {
    const head = `GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nX: ${'x'.repeat(500)}`;
    const slow = Array.from({ length: 1_000 }, (_, n) => new Dripper(server.port, head, n % 2 === 0));
    const [took, all] = [[], Promise.all(slow.map((dripper) => dripper.ended))];
    await Promise.all(slow.map((dripper) => dripper.connected));
    let isOver = false;
    all.then(() => (isOver = true));
    while (!isOver) {
      const began = performance.now();
      const socket = await Socket.open(server.port);
      took.push(performance.now() - began);
      socket.tcp.destroy();
      await sleep(25);
    }
    const seconds = await all;
    const [slowest, p99] = [Math.max(...seconds), percentile(took, 0.99)];
    const { lost, closed } = await crowd.end();
    return {
      numbers:
        `slowest closed after ${slowest.toFixed(2)} s; ${took.length} good connects meanwhile, p99 ` +
        `${p99.toFixed(1)} ms; others lost ${lost}, closed ${closed}`,
      ok: slowest <= 5.5 && p99 < 100 && lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }
}

/** Sends a head byte by byte, or only its first byte; `ended` gives the seconds from the connect to the end. */
class Dripper {
  constructor(port, head, goesOn) {
    let sent = 0;
    const socket = connect({ port, host: '127.0.0.1' });
    const drip = () => socket.write(head[sent++]);
    socket.on('data', () => {});
    socket.on('error', () => {});
    this.connected = new Promise((resolve) => socket.once('connect', resolve));
    this.ended = this.connected.then(async () => {
      const began = performance.now();
      drip();
      const timer = goesOn && setInterval(drip, 1_000);
      await new Promise((resolve) => socket.once('close', resolve));
      clearInterval(timer);
      return (performance.now() - began) / 1_000;
    });
  }
}

/** 5,000 sockets with nothing but the key, which is public. */
export async function strangers() {
  const server = await Server.start();
  const crowd = await Crowd.start(server, 'L1');
  try {
    const before = server.rss();
    const open = [];
    for (let begun = 0; begun < 5_000; begun += 50) {
      const some = Array.from({ length: 50 }, async (_, n) => {
        const socket = await Socket.open(server.port, { from: `127.2.${n}.1` });
        // Half of them subscribe to what needs no signature, which authenticates nobody.
        if (n % 2 === 0) socket.event('pusher:subscribe', { channel: 'news' });
        const since = performance.now();
        return socket.closed.then(({ code, at }) => ({ code, seconds: (at - since) / 1_000 }));
      });
      open.push(...some);
      await sleep(50);
    }
    const memory = server.rss() - before;
    const ended = await Promise.all(open);
    const slowest = Math.max(...ended.map(({ seconds }) => seconds));
    const right = ended.filter(({ code }) => code === 4009).length;
    const { lost, closed } = await crowd.end();
    return {
      numbers:
        `slowest closed after ${slowest.toFixed(2)} s, ${right} of 5,000 with 4009; ${memory.toFixed(0)} MB while ` +
        `they were there; others lost ${lost}, closed ${closed}`,
      ok: slowest <= 10 && right === 5_000 && lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }
}

/** 1,000 connects from one address; 1,000 from another, each with a new X-Forwarded-For. */
export async function connectFlood() {
  const cap = 100;
  const server = await Server.start({ limits: { connections_per_ip_per_minute: cap } });
  const crowd = await Crowd.start(server, 'L1');
  try {
    const plain = await flood(server, '127.3.0.1', () => ({}));
    const spoofed = await flood(server, '127.3.0.2', (n) => ({
      'X-Forwarded-For': `203.0.113.${n % 250}, 198.51.${n >> 8}.${n & 255}`,
      Forwarded: `for=198.51.${n >> 8}.${n & 255}`,
    }));
    const neighbour = await Socket.open(server.port, { from: '127.3.0.3' });
    neighbour.tcp.destroy();
    const { lost, closed } = await crowd.end();
    const share = ((plain.refused + spoofed.refused) / 2_000) * 100;
    const bypasses = plain.bypasses + spoofed.bypasses;
    return {
      numbers:
        `${share.toFixed(1)} % refused with 429, bypasses ${bypasses} (spoofed ${spoofed.bypasses}); a neighbour ` +
        `connects; others lost ${lost}, closed ${closed}`,
      ok: bypasses === 0 && plain.refused + plain.accepted + spoofed.refused + spoofed.accepted === 2_000 &&
        lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }

  async function flood(server, from, headers) {
    const began = performance.now();
    let [accepted, refused] = [0, 0];
    for (let begun = 0; begun < 1_000; begun += 50) {
      const some = Array.from({ length: 50 }, async (_, n) => {
        const socket = new Socket(server.port, { from, headers: headers(begun + n) });
        await socket.opened.then(
          () => (accepted += 1),
          ({ status }) => (refused += status === 429 ? 1 : 0),
        );
        socket.tcp.destroy();
      });
      await Promise.all(some);
    }
    const refilled = Math.ceil(((performance.now() - began) / 60_000) * cap);
    return { accepted, refused, bypasses: Math.max(0, accepted - cap - refilled) };
  }
}
