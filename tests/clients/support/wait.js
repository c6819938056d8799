// Waiting with a limit: nothing here sleeps.

/** The promise, or an error that names what did not come. */
export function within(milliseconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks until the answer is true. */
export async function until(what, ask, milliseconds = 5_000) {
  const deadline = Date.now() + milliseconds;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The next time `event` comes to something with `bind`, as pusher-js has it. */
export function next(source, event, milliseconds = 5_000) {
  let handler;
  const came = new Promise((resolve) => source.bind(event, (handler = (data) => resolve(data))));
  return within(milliseconds, event, came).finally(() => source.unbind(event, handler));
}

/** Everything that comes, in order; `take` waits for the next that was not taken yet. */
export class Inbox {
  #items = [];
  #waiting = [];

  push = (item) => {
    const taker = this.#waiting.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  };

  take(what = 'a message', milliseconds = 5_000) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return within(milliseconds, what, new Promise((resolve) => this.#waiting.push(resolve)));
  }

  get size() {
    return this.#items.length;
  }
}
