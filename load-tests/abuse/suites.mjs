// 14, 15 and 16 are tests; they are run here, and their counts are read from what they print.

import { spawn } from 'node:child_process';

const root = new URL('../..', import.meta.url).pathname;

/** Runs the tests that match and gathers `name = number` from lines that begin with `measured`. */
function suite(filter, wanted) {
  return async () => {
    const args = ['nextest', 'run', '--no-fail-fast', '--success-output', 'immediate', '-E', filter];
    const [text, code] = await new Promise((resolve) => {
      const cargo = spawn('cargo', args, { cwd: root });
      let text = '';
      cargo.stdout.on('data', (bytes) => (text += bytes));
      cargo.stderr.on('data', (bytes) => (text += bytes));
      cargo.on('close', (code) => resolve([text, code]));
    });
    const ran = Number(text.match(/(\d+) tests? run/)?.[1] ?? 0);
    const passed = Number(text.match(/(\d+) passed/)?.[1] ?? 0);
    const counts = [...text.matchAll(wanted)].map(([line]) => line.trim());
    return {
      numbers: `${passed} of ${ran} tests passed${counts.map((line) => `; ${line}`).join('')}`,
      ok: code === 0 && ran > 0 && counts.length > 0,
    };
  };
}

export const forgedSignatures = suite('test(forged) or test(forgery)', /\d[\d,]* forged.*/g);
export const origins = suite('test(origin_matrix)', /\d[\d,]* origins.*/g);
export const secrets = suite('test(canary)', /\d[\d,]* .*canar.*/g);
