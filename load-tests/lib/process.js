// What the server's process takes of its machine, where /metrics tells it.

import http from 'k6/http';
import { target } from './target.js';

const MIB = 1_048_576;

/** Resident memory and open descriptors; `undefined` what is not told. */
export function process() {
  const text = http.get(`${target.url}/metrics`).body ?? '';
  const gauge = (name) => {
    const line = new RegExp(`^${name} (\\S+)$`, 'm').exec(text);
    return line ? Number(line[1]) : undefined;
  };
  const bytes = gauge('process_resident_memory_bytes');
  return { mebibytes: bytes && bytes / MIB, descriptors: gauge('process_open_fds') };
}
