// The rows behind a server, on SQLite or on a PostgreSQL of its own, read and prepared by a hand that is not the
// server's.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Postgres } from '../postgres.mjs';

const READ = `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.row_factory = sqlite3.Row
print(json.dumps([dict(row) for row in db.execute(sys.stdin.read())]))`;

const RUN = `
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None).executescript(sys.stdin.read())`;

const LOGGED_MOVE = {
  sqlite: (table) => `CREATE TABLE moves (row_id bigint, before text, after text);
    CREATE TRIGGER move AFTER UPDATE OF status ON ${table} WHEN old.status <> new.status
    BEGIN INSERT INTO moves VALUES (new.id, old.status, new.status); END;`,
  postgres: (table) => `CREATE TABLE moves (row_id bigint, before text, after text);
    CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO moves VALUES (new.id, old.status, new.status); RETURN new; END $$;
    CREATE TRIGGER move AFTER UPDATE OF status ON ${table} FOR EACH ROW
    WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION note_move();`,
};

export class Store {
  /** `kind` is `sqlite` or `postgres`; the files go to `folder`. */
  static async open(kind, folder) {
    if (kind !== 'sqlite' && kind !== 'postgres') throw new Error(`DATABASES names ${kind}: it may be sqlite,postgres`);
    const store = new Store();
    store.kind = kind;
    store.file = join(folder, 'bellwire.db');
    if (kind === 'postgres') store.postgres = await Postgres.start(folder);
    store.url = store.postgres?.url ?? `sqlite:${store.file}`;
    return store;
  }

  /** The rows that a query finds. */
  rows(query) {
    if (this.postgres) {
      return JSON.parse(this.postgres.run(`SELECT coalesce(json_agg(t), '[]') FROM (${query}) t`));
    }
    const options = { input: query, encoding: 'utf8', maxBuffer: 1 << 30 };
    return JSON.parse(execFileSync('python3', ['-c', READ, this.file], options));
  }

  /** Runs statements. */
  run(statements) {
    if (this.postgres) this.postgres.run(statements);
    else execFileSync('python3', ['-c', RUN, this.file], { input: statements });
  }

  /** From now on every change of the status of a row of the table leaves a row in the table `moves`. */
  logMoves(table) {
    this.run(LOGGED_MOVE[this.kind](table));
  }

  async close() {
    await this.postgres?.stop();
  }
}
