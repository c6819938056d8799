// The time in milliseconds since 1970, with fractions: the clock that WebSocket messages are stamped by.

import exec from 'k6/execution';

let start;

/** When the run began. `Date` counts whole milliseconds, so one is watched as it begins. */
function findStart() {
  const before = Date.now();
  let edge = before;
  while (edge === before) edge = Date.now();
  return edge - exec.instance.currentTestRunDuration;
}

export function now() {
  start ??= findStart();
  return start + exec.instance.currentTestRunDuration;
}

/** Resolves after so many milliseconds. */
export const after = (milliseconds) => new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));

/** Resolves at this time, or at once when it is past. */
export const at = (time) => after(time - now());

/** The promise's value, or `undefined` when it is not there in time. */
export function within(milliseconds, promise) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, milliseconds)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The same of a time that the server wrote down, to the microsecond. */
export function instant(text) {
  const [, seconds, fraction] = /^(.*?)(\.\d+)?Z$/.exec(text);
  return Date.parse(`${seconds}Z`) + Number(fraction ?? 0) * 1_000;
}
