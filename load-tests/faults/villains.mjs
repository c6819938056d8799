// Receivers that misbehave, in a process of their own, on bare sockets: what one does is the path it is called by. The
// argument is JSON, `{ name: { key, cert } }`: the files of servers with TLS. Prints its ports as JSON, then answers
// each line on its standard input with the most bytes that one answer got rid of, by path, and how often the canary,
// where nobody may be led, was dialled.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { createServer as createTlsServer } from 'node:tls';
import { gzipSync } from 'node:zlib';

const GIB = 1 << 30;
const CHUNK = Buffer.alloc(16_384, 'x');
const OK = 'HTTP/1.1 200 OK\r\n';
/** Members one after another are one gzip file: 1 GiB in some 1 MB. */
const BOMB = Buffer.concat(Array(16).fill(gzipSync(Buffer.alloc(GIB / 16))));

const most = {};
let dialled = 0;

/**
 * Writes `chunk()` again and again until the other side is gone: so slowly that not much stands in the kernel's buffers
 * when it goes, and fast enough to tell a reader with a bound from one that reads until its time is over.
 */
function pour(socket, chunk, every = 10) {
  const next = () => socket.writable && socket.write(chunk(), () => setTimeout(next, every));
  next();
}

const bytes = function* (text) {
  for (;;) yield* text;
};

function drip(socket, text) {
  const letters = bytes(text);
  pour(socket, () => letters.next().value, 1_000);
}

const deeds = {
  '/good': (socket) => socket.write(`${OK}content-length: 0\r\n\r\n`),
  '/error': (socket) => socket.write('HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n'),
  '/redirect': (socket) => {
    socket.write(`HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:${ports.canary}/\r\ncontent-length: 0\r\n\r\n`);
  },
  '/hang': () => {},
  '/slow-head': (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nx-letters: abcdefghijklmnopqrstuvwxyz\r\n'),
  '/slow-body': (socket) => {
    socket.write(`${OK}content-length: 1000000\r\n\r\n`);
    drip(socket, 'x');
  },
  '/gigabyte': (socket) => {
    socket.write(`${OK}content-length: ${GIB}\r\n\r\n`);
    pour(socket, () => CHUNK);
  },
  '/endless': (socket) => {
    socket.write(`${OK}transfer-encoding: chunked\r\n\r\n`);
    pour(socket, () => Buffer.concat([Buffer.from(`${CHUNK.length.toString(16)}\r\n`), CHUNK, Buffer.from('\r\n')]));
  },
  '/bomb': (socket) => {
    socket.write(`${OK}content-encoding: gzip\r\ncontent-length: ${BOMB.length}\r\n\r\n`);
    let at = 0;
    pour(socket, () => BOMB.subarray(at, (at += CHUNK.length)));
  },
  '/endless-head': (socket) => {
    socket.write(OK);
    pour(socket, () => `x-more: ${'x'.repeat(4_000)}\r\n`.repeat(4));
  },
  '/interim': (socket) => pour(socket, () => 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(600)),
  '/reset': (socket) => socket.resetAndDestroy(),
  '/close': (socket) => socket.end(),
  '/half': (socket) => socket.end(`${OK}content-length: 1000\r\n\r\n0123456789`),
  '/noise': (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
};

function answer(socket) {
  let [text, path] = ['', undefined];
  socket.on('error', () => {});
  socket.on('close', () => {
    if (path) most[path] = Math.max(most[path] ?? 0, socket.bytesWritten - socket.writableLength);
  });
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(text.slice(0, end).match(/content-length: (\d+)/i)?.[1] ?? 0);
    if (text.length < end + 4 + length) return;
    path = text.split(' ', 2)[1];
    text = text.slice(end + 4 + length);
    deeds[path]?.(socket);
  });
}

const canary = createServer((socket) => {
  dialled += 1;
  socket.on('error', () => {});
  socket.end(`${OK}content-length: 0\r\n\r\n`);
});

const listening = (server, host) => new Promise((resolve) => server.listen(0, host, () => resolve(server.address().port)));
const ports = { plain: await listening(createServer({ noDelay: true }, answer), '127.0.0.1') };
// All addresses of the machine, of both families.
ports.canary = await listening(canary, '::');
ports.mute = await listening(createServer((socket) => socket.on('error', () => {}).resume()), '127.0.0.1');
// What a server without TLS says to whoever begins with it.
const deaf = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
ports.deaf = await listening(deaf, '127.0.0.1');
for (const [name, { key, cert }] of Object.entries(JSON.parse(process.argv[2]))) {
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, answer);
  server.on('tlsClientError', () => {});
  ports[name] = await listening(server, '127.0.0.1');
}
console.log(JSON.stringify(ports));
createInterface({ input: process.stdin })
  .on('line', () => console.log(JSON.stringify({ most, dialled })))
  // Whoever started this is gone.
  .on('close', () => process.exit());
