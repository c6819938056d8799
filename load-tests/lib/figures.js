// What a run must show: k6's thresholds, which fail it, and at its end a table that says what each figure means.

import { target } from './target.js';

/** How many there were. `must` is a comparison, such as `==100`; without one it is told and not judged. */
export const count = (metric, must, says) => ({ metric, value: 'count', must, says, unit: '' });

/** How long something took: `value` is `p(99)`, `max` and so on. To have measured nothing is to fail. */
export const time = (metric, value, must, says) => ({ metric, value, must, says, unit: 'ms', isTrend: true });

/** Any other size. A server that does not tell it is not failed for that. */
export const size = (metric, value, must, unit, says) => ({ metric, value, must, says, unit, isOptional: true });

export class Figures {
  #name;
  #rows;

  constructor(name, rows) {
    this.#name = name;
    this.#rows = rows;
  }

  /** k6's options, with the thresholds in them. */
  options(more) {
    const thresholds = {};
    const hold = ({ name }, threshold) => (thresholds[name] ??= new Set()).add(threshold);
    for (const { metric, value, must, isTrend } of this.#rows) {
      if (must) hold(metric, `${value}${must}`);
      // The percentiles of nothing are 0, which every bound lets pass.
      if (isTrend) hold(metric, 'max>0');
    }
    for (const name of Object.keys(thresholds)) thresholds[name] = [...thresholds[name]];
    return { ...more, thresholds, summaryTrendStats: ['min', 'avg', 'p(50)', 'p(95)', 'p(99)', 'max', 'count'] };
  }

  /** k6's `handleSummary`. */
  summary = ({ metrics, state }) => {
    const rows = this.#rows.map((row) => judge(row, metrics[row.metric.name]));
    const failed = rows.filter(({ verdict }) => verdict === 'FAILED').length;
    const seconds = (state.testRunDurationMs / 1_000).toFixed(1);
    const widths = ['verdict', 'figure', 'bound'].map((cell) => Math.max(...rows.map((row) => row[cell].length)));
    const line = ({ verdict, figure, bound, says }) =>
      `  ${verdict.padEnd(widths[0])}  ${figure.padStart(widths[1])}  ${bound.padEnd(widths[2])}  ${says}`;
    const failure = `FAILED: ${failed} of ${rows.length} figures.`;
    const end = failed === 0 ? 'PASSED: every figure is as it must be.' : failure;
    const head = `${this.#name}, against ${target.url}, in ${seconds} s`;
    return { stdout: ['', head, '', ...rows.map(line), '', end, ''].join('\n') };
  };
}

function judge({ metric, value, must, unit, says, isTrend, isOptional }, result) {
  const bound = must ? `(must be ${must.replace(/^([<>=]+)/, '$1 ')}${unit && ` ${unit}`})` : '';
  // k6 leaves out what was never counted and has no threshold.
  const values = result?.values ?? { count: 0 };
  if ((isTrend || isOptional) && values.count === 0) {
    return { verdict: isOptional ? '-' : 'FAILED', figure: 'not measured', bound, says };
  }
  const holds = !must || result.thresholds[`${value}${must}`].ok;
  const figure = `${decimals(values[value])}${unit && ` ${unit}`}`;
  return { verdict: holds ? (must ? 'ok' : '') : 'FAILED', figure, bound, says };
}

/** Three digits that say something. */
function decimals(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 100) return String(Math.round(value));
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
