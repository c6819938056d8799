// What one can listen to: pusher-js's `bind`, `unbind` and the event that ends a wait.

export class Emitter {
  #listeners = new Map();

  bind(event, listener) {
    const listeners = this.#listeners.get(event);
    if (listeners) listeners.push(listener);
    else this.#listeners.set(event, [listener]);
    return this;
  }

  unbind(event, listener) {
    const left = (this.#listeners.get(event) ?? []).filter((each) => each !== listener);
    this.#listeners.set(event, left);
  }

  /** What is told the next time that this happens, as a list. */
  next(event) {
    return new Promise((resolve) => {
      const listener = (...what) => {
        this.unbind(event, listener);
        resolve(what);
      };
      this.bind(event, listener);
    });
  }

  emit(event, ...what) {
    for (const listener of this.#listeners.get(event) ?? []) listener(...what);
  }
}
