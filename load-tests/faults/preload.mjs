// The small C libraries beside this file, built into a folder, for a process to be started with.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** The environment that loads them; `names` without `.c`. */
export function preload(folder, ...names) {
  const built = names.map((name) => {
    const [source, library] = [new URL(`./${name}.c`, import.meta.url).pathname, join(folder, `${name}.so`)];
    const options = ['-O2', '-Wall', '-shared', '-fPIC', '-o', library, source];
    const { error, status, stderr } = spawnSync('cc', options, { encoding: 'utf8' });
    if (error) throw new Error('a C compiler is missing: apt-get install gcc libc6-dev');
    if (status !== 0) throw new Error(stderr);
    return library;
  });
  return { LD_PRELOAD: built.join(':') };
}
