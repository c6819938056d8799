// What pusher-js does when its connection ends: by the code alone, as its protocol.ts has it.

/** The code of a connection that ended without one. */
export const NO_CODE = 1006;

/** Where it comes back (`tls`: to wss:// from now on) and after how many milliseconds; `undefined`: never. */
export function comeback(code) {
  if (code === 4000) return { tls: true, delay: 0 };
  if (code >= 4200 && code < 4300) return { tls: false, delay: 0 };
  if (code > 4000 && !(code >= 4100 && code < 4200)) return undefined;
  return { tls: false, delay: 1_000 };
}
