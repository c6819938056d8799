// A TCP proxy between a client and the server: the network, with its faults.

import { connect, createServer } from 'node:net';

export class Proxy {
  #links = new Set();

  /** Forwards to this port, from a free one. */
  static async start(port) {
    const proxy = new Proxy();
    proxy.server = createServer((client) => proxy.#carry(client, connect(port, '127.0.0.1')));
    await new Promise((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    proxy.port = proxy.server.address().port;
    return proxy;
  }

  #carry(client, server) {
    const link = { client, server, asleep: false };
    this.#links.add(link);
    for (const [from, to] of [[client, server], [server, client]]) {
      from.setNoDelay(true);
      from.on('data', (bytes) => link.asleep || to.write(bytes));
      from.on('error', () => {});
      from.on('close', () => {
        if (!link.asleep) to.destroy();
        this.#links.delete(link);
      });
    }
  }

  /** Cuts every connection, without a goodbye on either side. */
  cut() {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** From now on nothing passes on the connections that there are, and nobody is told: a laptop that was closed. */
  sleep() {
    for (const link of this.#links) link.asleep = true;
  }

  close() {
    this.server.close();
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
  }
}
