#!/usr/bin/env bash
# knex alters a SQLite table by reading its CREATE TABLE with a parser of its own and making it anew. `key` is a word
# that SQLite takes as a column's name without quotes; the parser does not, so no column of such a table can be
# altered, also none that has nothing to do with it. With "key" in quotes it works, and the trigger on the table is gone.
#
# Meets: SQLite's fallback of keywords to names, and a parser in a query builder.
# Seen on 2026-11-28 with knex 3.3.0, better-sqlite3 12.11.1 (npm), Node.js 20.20.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit knex@3.3.0 better-sqlite3@12.11.1
cat > try.js <<'JS'
const knex = require("knex");
const say = async (column) => {
  const db = knex({ client: "better-sqlite3", connection: { filename: ":memory:" }, useNullAsDefault: true });
  await db.raw(`CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, ${column} TEXT)`);
  await db.raw("CREATE TRIGGER guard AFTER INSERT ON item WHEN NEW.id > 9 BEGIN SELECT RAISE(ABORT, 'full'); END");
  let said;
  try {
    await db.schema.alterTable("item", (table) => table.setNullable("name"));
    const [{ n }] = await db.raw("SELECT count(*) AS n FROM sqlite_schema WHERE type = 'trigger'");
    said = `altered, triggers left: ${n}`;
  } catch (error) {
    said = error.message.split(" of ")[0];
  }
  await db.destroy();
  console.log(`${column}: ${said}`);
  return said;
};
(async () => {
  const bare = await say("key"), quoted = await say('"key"');
  if (!bare.startsWith("Parsing CREATE TABLE failed") || quoted !== "altered, triggers left: 0") {
    console.log("changed");
    process.exit(1);
  }
})();
JS
node try.js
# Seen: key: Parsing CREATE TABLE failed at [, key TEXT )]
# Seen: "key": altered, triggers left: 0
