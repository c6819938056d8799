// How much load, and what must hold: each setting is an environment variable with a default.

/** A number from the environment. */
export function number(name, otherwise) {
  const given = __ENV[name];
  if (given === undefined || given === '') return otherwise;
  const value = Number(given);
  if (!Number.isFinite(value)) throw new Error(`${name} is to be a number, and is ${given}`);
  return value;
}

/** A text from the environment. */
export const text = (name, otherwise) => __ENV[name] || otherwise;
