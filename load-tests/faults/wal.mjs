// The write-ahead logs of the two databases as system calls show them: whether the commit that holds a mark was on the
// disk before a certain moment.

const isSync = (call) => (call.name === 'fsync' || call.name === 'fdatasync') && call.result === 0;
const isWrite = (call) => call.name === 'pwrite64' || call.name === 'write' || call.name === 'pwritev';

/** The first call that carries each mark: `Map(mark → index)`. */
function firstOf(calls) {
  const first = new Map();
  calls.forEach((call, index) => {
    for (const [found] of call.data.toString('latin1').matchAll(/mark-\d{9}/g)) if (!first.has(found)) first.set(found, index);
  });
  return first;
}

/** SQLite's: frames of a header (24 bytes) and a page; the last frame of a commit tells the size of the file. */
export class SqliteLog {
  constructor(calls) {
    const ofLog = calls.filter((call) => call.target.endsWith('-wal'));
    this.writes = ofLog.filter(isWrite);
    this.synced = ofLog.filter(isSync);
    this.first = firstOf(this.writes);
  }

  get syncs() {
    return this.synced.length;
  }

  /** Whether the commit was whole, and then synced, before the log's line `at`. */
  before({ mark, at }) {
    const page = this.first.get(mark);
    if (page === undefined) return false;
    const isCommit = (call) => call.data.length === 24 && call.data.readUInt32BE(4) > 0;
    // The header of the page's own frame stands right before it.
    const header = this.writes.findIndex((call, index) => index >= page - 1 && isCommit(call));
    const last = this.writes[header + 1];
    return header >= 0 && last !== undefined && this.synced.some((sync) => sync.begin > last.end && sync.end < at);
  }
}

const PAGE = 8_192;
/** Of a page of the log; the first of a file has more. */
const [HEADER, FIRST_HEADER] = [24, 40];
/** Where a record says whose transaction it is of and what it is: a commit is of kind 0 of resource manager 1. */
const [XID, KIND, MANAGER] = [4, 16, 17];

/**
 * PostgreSQL's. The commit's own record is found by the number of its transaction; it must be written and synced, by
 * whichever backend, before its backend answers COMMIT, and the server must have read that answer.
 */
export class PostgresLog {
  #commits = new Map();
  #files = new Map();

  constructor(calls, port, store) {
    const ofLog = calls.filter((call) => call.target.includes('/pg_wal/'));
    this.synced = ofLog.filter(isSync);
    for (const call of ofLog.filter(isWrite)) this.#write(call);
    this.asked = calls.filter((call) => call.target.endsWith(`->${port}`));
    this.answered = calls.filter((call) => call.target.startsWith(`${port}->`) && call.name === 'sendto');
    this.statements = firstOf(this.asked);
    this.transactions = new Map(
      store.rows('SELECT xmin::text AS xid, data FROM events').map(({ xid, data }) => [JSON.parse(data).name, Number(xid)]),
    );
  }

  get syncs() {
    return this.synced.length;
  }

  /** Notes the commits that a write brings. Pages are written again as they fill; a record may begin on the page before. */
  #write(call) {
    const file = this.#files.get(call.target) ?? Buffer.alloc(1 << 24);
    this.#files.set(call.target, file);
    call.data.copy(file, call.offset);
    const pages = [];
    for (let at = Math.max(0, call.offset - PAGE); at < call.offset + call.data.length; at += PAGE) {
      pages.push(file.subarray(at + (at === 0 ? FIRST_HEADER : HEADER), at + PAGE));
    }
    const text = Buffer.concat(pages);
    // Records are aligned, and so is what the headers leave of a page.
    for (let at = 0; at + HEADER <= text.length; at += 8) {
      if (text[at + MANAGER] !== 1 || (text[at + KIND] & 0x70) !== 0) continue;
      const xid = text.readUInt32LE(at + XID);
      if (!this.#commits.has(xid)) this.#commits.set(xid, call);
    }
  }

  before({ mark, at, isAnswer }) {
    const record = this.#commits.get(this.transactions.get(mark));
    if (!record) return false;
    // A webhook may go out before the request hears of its own commit: another connection has seen it.
    const latest = isAnswer ? this.#answerOf(mark, at)?.begin ?? 0 : at;
    return this.synced.some((sync) => sync.begin > record.end && sync.end < latest);
  }

  /** The backend's answer to the COMMIT of the mark's connection, if the server has read it before `at`. */
  #answerOf(mark, at) {
    const statement = this.asked[this.statements.get(mark)];
    if (!statement) return undefined;
    const onIt = this.asked.filter((call) => call.target === statement.target && call.begin > statement.begin);
    const commit = onIt.find((call) => call.name !== 'recvfrom' && call.data.includes('COMMIT'));
    if (!commit) return undefined;
    // What is read ends where a buffer does, and may end within the word.
    const since = onIt.filter((call) => call.name === 'recvfrom' && call.begin > commit.begin && call.end < at);
    if (!Buffer.concat(since.map((call) => call.data)).includes('COMMIT\0')) return undefined;
    const back = statement.target.split('->').reverse().join('->');
    return this.answered.find((call) => call.target === back && call.begin > commit.begin && call.data.includes('COMMIT\0'));
  }
}
