// What processes asked of the kernel, in one order for all of them. strace holds a thread at the beginning and at the
// end of each call until it is written down, so nothing that follows from a call stands before it in the log.

import { spawn } from 'node:child_process';
import { createReadStream, readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** A call: `begin` and `end` are lines of the log; `target` is a file's path or `LOCAL->PEER` ports. */
const LINE = /^(\d+) +(.*)$/;
const UNFINISHED = ' <unfinished ...>';
const RESUMED = /^<\.\.\. \w+ resumed>/;
const CALL = /^(\w+)\((\d+)<(?:\w+:\[[\d.]+:(\d+)->[\d.]+:(\d+)\]|([^>]*))>(.*)\) += (-?\d+)/;
const TEXTS = /"((?:[^"\\]|\\.)*)"/g;
const CALLS = ['read', 'recvfrom', 'write', 'writev', 'sendto', 'pwrite64', 'pwritev', 'fsync', 'fdatasync'];

export class Strace {
  /** Watches these processes, their threads and whatever they start, until `stop()`. */
  static async attach(pids, file) {
    const strace = new Strace();
    strace.file = file;
    const which = pids.flatMap((pid) => ['-p', String(pid)]);
    // Texts are wanted whole: marks are looked for in them.
    const what = ['-f', '-yy', '-x', '-s', '1000000', '-e', `trace=${CALLS}`, '-e', 'signal=none', '-o', file];
    strace.process = spawn('strace', [...what, ...which], { stdio: ['ignore', 'ignore', 'pipe'] });
    const missing = new Promise((_, reject) => {
      strace.process.once('error', () => reject(new Error('strace is missing: apt-get install strace')));
    });
    const heard = (async () => {
      let attached = 0;
      for await (const line of createInterface({ input: strace.process.stderr })) {
        if (/^strace: Process \d+ attached/.test(line)) attached += 1;
        if (/^strace: attach/.test(line)) throw new Error(line);
        if (attached >= pids.length) return;
      }
      throw new Error('strace ended');
    })();
    await Promise.race([heard, missing]);
    strace.process.stderr.resume();
    return strace;
  }

  /** Lets them go on alone; the calls, in the order of their ends. */
  async stop() {
    const ended = new Promise((resolve) => this.process.once('close', resolve));
    this.process.kill('SIGINT');
    await ended;
    const [calls, unfinished] = [[], new Map()];
    let line = 0;
    for await (const text of createInterface({ input: createReadStream(this.file, 'latin1') })) {
      line += 1;
      const [, pid, said] = text.match(LINE) ?? [];
      if (said === undefined) continue;
      if (said.endsWith(UNFINISHED)) {
        unfinished.set(pid, { begin: line, said: said.slice(0, -UNFINISHED.length) });
        continue;
      }
      const isResumed = RESUMED.test(said);
      const start = isResumed ? unfinished.get(pid) : { begin: line, said: '' };
      const call = start && parse(`${start.said}${said.replace(RESUMED, '')}`);
      if (call) calls.push({ ...call, pid: Number(pid), begin: start.begin, end: line });
    }
    return calls;
  }
}

function parse(text) {
  const [, name, , local, peer, path, rest, result] = text.match(CALL) ?? [];
  if (!name) return undefined;
  const data = Buffer.concat([...rest.matchAll(TEXTS)].map(([, quoted]) => unquoted(quoted)));
  const offset = name.startsWith('pwrite') ? Number(rest.slice(rest.lastIndexOf(',') + 1)) : undefined;
  return { name, target: path ?? `${local}->${peer}`, data, offset, result: Number(result) };
}

const ESCAPES = { n: '\n', r: '\r', t: '\t', v: '\v', f: '\f' };

function unquoted(text) {
  if (!text.includes('\\')) return Buffer.from(text, 'latin1');
  const plain = text.replace(/\\(x[0-9a-f]{2}|[0-7]{1,3}|.)/g, (_, escape) => {
    if (/^x../.test(escape)) return String.fromCharCode(parseInt(escape.slice(1), 16));
    if (/^[0-7]/.test(escape)) return String.fromCharCode(parseInt(escape, 8));
    return ESCAPES[escape] ?? escape;
  });
  return Buffer.from(plain, 'latin1');
}

/** A process and those it has started. */
export function family(pid) {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    const text = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
    return text ? text.split(' ').map(Number) : [];
  });
  return [pid, ...children.flatMap(family)];
}
