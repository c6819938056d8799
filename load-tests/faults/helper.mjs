// A script in a process of its own that prints a line of JSON when it is ready and one for each line it is sent.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export class Helper {
  /** `script` is a URL; `ready` is what it printed first. */
  static async start(script, ...args) {
    const helper = new Helper();
    helper.process = spawn(process.execPath, [script.pathname, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    helper.lines = createInterface({ input: helper.process.stdout })[Symbol.asyncIterator]();
    helper.ready = await helper.#line();
    return helper;
  }

  async #line() {
    return JSON.parse((await this.lines.next()).value);
  }

  async ask() {
    this.process.stdin.write('\n');
    return this.#line();
  }

  close() {
    this.process.kill();
  }
}
