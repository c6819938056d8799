// Certificates for the receivers of experiment 25: an authority, and what it signed well and badly.

import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** The file of the authority, and `{ key, cert }` of: good, expired, misnamed, unknown. */
export function certificates(folder) {
  if (spawnSync('openssl', ['version']).error) throw new Error('openssl is missing: apt-get install openssl');
  const file = (name) => join(folder, name);
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  openssl('req', '-x509', ...KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=faults');
  const signed = (name, san, days) => {
    writeFileSync(file(`${name}.ext`), `subjectAltName = ${san}\nbasicConstraints = CA:FALSE\n`);
    openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const issuer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
    openssl('x509', '-req', '-in', `${name}.csr`, ...issuer, '-days', String(days), '-extfile', `${name}.ext`, '-out', `${name}.pem`);
    return { key: file(`${name}.key`), cert: file(`${name}.pem`) };
  };
  const here = 'IP:127.0.0.1';
  const misnamed = signed('misnamed', 'DNS:shop.example', 2);
  const pairs = { good: signed('good', here, 2), expired: signed('expired', here, -1), misnamed };
  const own = ['-subj', '/CN=unknown', '-addext', `subjectAltName = ${here}`];
  openssl('req', '-x509', ...KEY, '-keyout', 'unknown.key', '-out', 'unknown.pem', '-days', '2', ...own);
  const unknown = { key: file('unknown.key'), cert: file('unknown.pem') };
  return { authority: file('ca.pem'), pairs: { ...pairs, unknown } };
}
