// How steeply a quantity grows: the slope of the straight line that fits its samples best.

/** Of `[x, y]` pairs; in y for each x. */
export function slope(samples) {
  const mean = (pick) => samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  const x = mean(([x]) => x);
  const y = mean(([, y]) => y);
  const spread = mean((sample) => (sample[0] - x) ** 2);
  return spread === 0 ? 0 : mean((sample) => (sample[0] - x) * (sample[1] - y)) / spread;
}
