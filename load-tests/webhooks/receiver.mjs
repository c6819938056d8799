// A webhook receiver in a process of its own, on bare sockets, so that it is never what is measured. What it does
// depends on the path: /good…, /hang…, /bad… (500). Prints its port, then answers each line on its standard input
// with the times at which good deliveries came since the line before: `[[path, marker, microseconds], …]` as JSON.

import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
const BAD = 'HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n';
/** What a test writes into a product's name, to know its events again. */
const MARKER = /mark-(\d+)/;

let came = [];
const now = () => Number(process.hrtime.bigint() / 1_000n);

const server = createServer({ noDelay: true }, (socket) => {
  let rest = '';
  socket.on('error', () => {});
  socket.setEncoding('latin1');
  socket.on('data', (text) => {
    rest += text;
    for (;;) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = rest.slice(0, end).toLowerCase();
      const length = Number(head.match(/content-length: (\d+)/)?.[1] ?? 0);
      if (rest.length < end + 4 + length) return;
      const body = rest.slice(end + 4, end + 4 + length);
      const path = head.slice(5, head.indexOf(' ', 5));
      rest = rest.slice(end + 4 + length);
      if (path.startsWith('/hang')) return;
      if (path.startsWith('/bad')) socket.write(BAD);
      else {
        came.push([path, Number(body.match(MARKER)?.[1] ?? 0), now()]);
        socket.write(OK);
      }
    }
  });
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
createInterface({ input: process.stdin })
  .on('line', () => {
    console.log(JSON.stringify(came));
    came = [];
  })
  // Whoever started this is gone.
  .on('close', () => process.exit());
