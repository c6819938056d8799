// A webhook receiver that remembers every request and answers as it is told.

import { createServer } from 'node:http';

export class Receiver {
  /** `[{ path, id, event, data, at }, …]` in the order in which they came. */
  came = [];
  #heard = [];

  /** `answer(request)` gives a status, or a promise of one, or nothing for no answer at all. */
  static async start(answer = () => 200) {
    const receiver = new Receiver();
    receiver.answer = answer;
    receiver.server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => receiver.#take(request, response));
    await new Promise((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
    receiver.port = receiver.server.address().port;
    receiver.url = `http://127.0.0.1:${receiver.port}`;
    return receiver;
  }

  #take(request, response) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    // A process that dies in the middle of a request has told us nothing.
    request.on('error', () => {});
    request.on('end', async () => {
      const { event, data } = JSON.parse(Buffer.concat(chunks));
      const one = { path: request.url, id: request.headers['webhook-id'], event, data, at: performance.now() };
      this.came.push(one);
      for (const look of this.#heard.splice(0)) look();
      const status = await this.answer(one);
      if (status === undefined) return;
      response.writeHead(status).end();
    });
  }

  /** Waits until it is true of what came, or until `unless` is settled; whether it came to be true. */
  async until(isTrue, unless) {
    let isOver = false;
    unless?.then(() => {
      isOver = true;
      for (const look of this.#heard.splice(0)) look();
    });
    while (!isTrue(this.came)) {
      if (isOver) return false;
      await new Promise((resolve) => this.#heard.push(resolve));
    }
    return true;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
