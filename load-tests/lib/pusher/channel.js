// A channel that a client is subscribed to, or wants to be: what arrives on it is emitted under its event's name.

import { Emitter } from './emitter.js';

/** Beside the application's events: `subscribed` (its data), `refused` (why) and `gap` (the end of what is kept). */
export class Channel extends Emitter {
  #client;

  constructor(client, name) {
    super();
    this.#client = client;
    this.name = name;
  }

  /** What came, with the time of its arrival. */
  receive(event, data, came) {
    if (event === 'pusher_internal:subscription_succeeded') {
      this.emit('subscribed', data, came);
    } else if (event === 'pusher:subscription_error') {
      this.emit('refused', data, came);
    } else if (event === 'bellwire:replay_gap') {
      this.emit('gap', data, came);
    } else {
      this.emit(event, data, came);
    }
  }

  /** Tells the others on it; the name begins with `client-`. */
  trigger(event, data) {
    this.#client.send(event, data, this.name);
  }
}
