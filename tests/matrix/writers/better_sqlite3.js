// better-sqlite3: synchronous, the library of most programs on Node.
const [file, action, n] = process.argv.slice(2);
const db = require("better-sqlite3")(file);
const insert = "INSERT INTO outbox (event, data, key) VALUES ('e', ?, ?)";
const actions = {
  commit() {
    const one = db.transaction((i) => {
      db.prepare("INSERT INTO story (title) VALUES (?)").run(String(i));
      db.prepare(insert).run(JSON.stringify({ n: i }), `k${i}`);
    });
    for (let i = 0; i < Number(n); i++) one(i);
  },
  rollback() {
    try {
      db.transaction(() => { db.prepare(insert).run("{}", "never"); throw new RangeError(); })();
    } catch (error) { if (!(error instanceof RangeError)) throw error; }
  },
  bad() { db.prepare(insert).run("no JSON", "bad"); },
  ignore() { db.prepare(insert.replace("INSERT", "INSERT OR IGNORE")).run("no JSON", "bad"); },
  upsert() { db.prepare(insert + " ON CONFLICT (key) DO UPDATE SET data = excluded.data").run('{"n":"new"}', "k0"); },
  update() { db.exec("UPDATE outbox SET tenant = 'acme'"); },
  empty() { db.exec("BEGIN; DELETE FROM outbox; DELETE FROM sqlite_sequence WHERE name = 'outbox'; COMMIT"); },
};
actions[action]();
db.close();
