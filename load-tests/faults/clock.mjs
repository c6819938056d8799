// The clock of the processes that are started with `clock.c`: it goes as ours does, and can be put forward; the wall's
// clock alone back, too.

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { preload } from './preload.mjs';

export class Clock {
  #ahead = 0;

  /** `wall`: the time of day alone, as when somebody sets it; time that has passed stays what it is. */
  constructor(folder, { wall = false } = {}) {
    this.file = join(folder, 'clock');
    writeFileSync(this.file, Buffer.alloc(8));
    this.env = { ...preload(folder, 'clock'), CLOCK: this.file, ...(wall && { CLOCK_WALL: '1' }) };
  }

  /** Milliseconds since 1970 there. */
  now() {
    return Date.now() + this.#ahead;
  }

  /** Puts it forward; never back. */
  forward(milliseconds) {
    this.move(Math.max(0, milliseconds));
  }

  /** Forward or back. */
  move(milliseconds) {
    this.#ahead += Math.round(milliseconds);
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(this.#ahead) * 1_000_000n);
    // In place: the processes have the file mapped.
    const file = openSync(this.file, 'r+');
    writeSync(file, bytes, 0, 8, 0);
    closeSync(file);
  }
}
