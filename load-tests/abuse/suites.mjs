// 14, 15 and 16 are tests; they are run here, and their counts are read from what they print.

import { spawn } from 'node:child_process';

const root = new URL('../..', import.meta.url).pathname;

/**
 * Runs the tests that match and adds up what they print: `…: N tried, M accepted`, and the like for other words;
 * more may stand between the two. None of at least `least` may be bad.
 */
function suite(filter, words, least) {
  const line = new RegExp(`(\\d+) ${words.tried}\\b[^,\\n]*, (\\d+) ${words.bad}\\b`, 'g');
  return async () => {
    const args = ['nextest', 'run', '--no-fail-fast', '--success-output', 'immediate', '-E', filter];
    const [text, code] = await new Promise((resolve) => {
      const cargo = spawn('cargo', args, { cwd: root });
      let text = '';
      cargo.stdout.on('data', (bytes) => (text += bytes));
      cargo.stderr.on('data', (bytes) => (text += bytes));
      cargo.on('close', (code) => resolve([text, code]));
    });
    const passed = Number(text.match(/tests? run: (\d+) passed/)?.[1] ?? 0);
    const sums = [...text.matchAll(line)].reduce(([tried, bad], [, a, b]) => [tried + Number(a), bad + Number(b)], [0, 0]);
    return {
      numbers: `${sums[0]} ${words.tried}, ${sums[1]} ${words.bad}, in ${passed} tests that passed`,
      ok: code === 0 && sums[0] >= least && sums[1] === 0,
    };
  };
}

export const forgedSignatures = suite('test(/^forgery::/)', { tried: 'tried', bad: 'accepted' }, 10_000);
export const origins = suite('test(/^origins::/)', { tried: 'judged', bad: 'wrong' }, 40);
export const secrets = suite('test(/^canary::/)', { tried: 'looked for', bad: 'found' }, 1);
