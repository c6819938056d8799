// When the events of a channel came: for who has just made a change and waits to see it.

import { now } from './clock.js';

export class Events {
  #came = new Map();
  #awaited = new Map();

  /** Notes from now on the named events of a channel by what `key` makes of their data. */
  constructor(channel, names, key) {
    for (const name of names) channel.bind(name, (data, came) => this.#note(`${name} ${key(data)}`, came));
  }

  /** When such an event came after that time, or `undefined` when it did not in so many milliseconds. */
  async after(time, name, key, milliseconds) {
    const whole = `${name} ${key}`;
    if (this.#came.get(whole) >= time) return this.#came.get(whole);
    const deadline = setTimeout(() => this.#awaited.get(whole)?.(undefined), milliseconds);
    const came = await new Promise((resolve) => this.#awaited.set(whole, resolve));
    this.#awaited.delete(whole);
    clearTimeout(deadline);
    return came;
  }

  #note(whole, came) {
    this.#came.set(whole, came);
    this.#awaited.get(whole)?.(came);
  }
}
