// What compression costs: memory a connection, CPU a delivery and bytes on the wire, with it and without, in turns.
// The same 1,000 subscribers, on raw sockets that offer permessage-deflate or do not, take 30 events of a product.
//
//   node load-tests/deflate.mjs          # CLIENTS=1000 EVENTS=30 ROUNDS=3

import { once } from 'node:events';
import { connect } from 'node:net';
import { sleep, trigger, until } from './abuse/api.mjs';
import { Server } from './abuse/server.mjs';
import { OPCODE, PATH, frame } from './abuse/socket.mjs';

const [CLIENTS, EVENTS, ROUNDS] = [process.env.CLIENTS ?? 1_000, process.env.EVENTS ?? 30, process.env.ROUNDS ?? 3].map(Number);

const product = (n) =>
  JSON.stringify({
    product: {
      id: n, tenant_id: 1, name: `Jasmine rice ${n} kg`, sku: `RICE-${n}`, barcode: `48000162${n}`, price: 12_500 + n,
      cost: 9_800, currency: 'PHP', unit: 'sack', stock: 40 + n, min_stock: 5, max_stock: null, category_id: 3,
      image: `https://cdn.example/products/rice-${n}.jpg`, is_active: true, is_ecommerce: true,
      created_at: '2026-11-01T08:00:00.000000Z', updated_at: '2026-11-22T09:30:00.000000Z',
    },
  });

/** A client that counts bytes and takes no frame apart: what is measured is the server. */
async function join(port, extension) {
  const tcp = connect({ host: '127.0.0.1', port, noDelay: true });
  tcp.write(
    `GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${extension}` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  );
  const [head] = await once(tcp, 'data');
  const agreed = head.toString('latin1').includes('permessage-deflate');
  if (agreed !== (extension !== '')) throw new Error(`compression was ${agreed ? '' : 'not '}agreed on`);
  const subscribe = JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'news' } });
  tcp.write(frame(OPCODE.text, Buffer.from(subscribe)));
  const client = { tcp, bytes: 0 };
  tcp.on('data', (bytes) => (client.bytes += bytes.length));
  return client;
}

async function round(extension) {
  const server = await Server.start({ server: { shutdown_timeout_seconds: 2, compression: true } });
  try {
    await sleep(500);
    const empty = server.rss();
    const clients = [];
    for (let n = 0; n < CLIENTS; n += 50) {
      clients.push(...(await Promise.all(Array.from({ length: 50 }, () => join(server.port, extension)))));
    }
    await until(async () => (await server.metric('bellwire_subscriptions')) === CLIENTS, 10_000);
    const idle = server.rss();
    for (const client of clients) client.bytes = 0;
    const used = server.cpu();
    for (let n = 0; n < EVENTS; n += 1) {
      await trigger(server.port, { name: 'product:updated', channels: ['news'], data: product(n) });
      await sleep(100);
    }
    await sleep(1_000);
    const cpu = server.cpu() - used;
    const bytes = clients.reduce((sum, client) => sum + client.bytes, 0);
    const busy = server.rss();
    for (const client of clients) client.tcp.destroy();
    const deliveries = CLIENTS * EVENTS;
    return {
      idle: ((idle - empty) * 1e6) / 1_024 / CLIENTS,
      busy: ((busy - empty) * 1e6) / 1_024 / CLIENTS,
      cpu: (cpu * 1e6) / deliveries,
      bytes: bytes / deliveries,
    };
  } finally {
    await server.end();
  }
}

const told = ({ idle, busy, cpu, bytes }) =>
  `${idle.toFixed(1)} KiB a connection when idle, ${busy.toFixed(1)} KiB after ${EVENTS} events; ` +
  `${cpu.toFixed(1)} µs of CPU and ${bytes.toFixed(0)} bytes a delivery`;

for (let n = 0; n < ROUNDS; n += 1) {
  console.log(`plain       ${told(await round(''))}`);
  console.log(`compressed  ${told(await round('Sec-WebSocket-Extensions: permessage-deflate\r\n'))}`);
}
