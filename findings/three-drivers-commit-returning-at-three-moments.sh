#!/usr/bin/env bash
# INSERT ... RETURNING outside a transaction is committed when its statement has ended, and drivers end it at different
# moments. After the row was read once: Python's sqlite3 has committed, for it steps ahead; PHP's PDO and APSW have not,
# until somebody asks for one row more or closes the cursor. A program that reads the id and keeps the statement
# in a variable holds the write lock meanwhile.
#
# Meets: RETURNING, autocommit and lazy cursors.
# Seen on 2026-11-28 with Python 3.11 (sqlite3), PHP 8.2 pdo_sqlite (Debian 12), apsw 3.54.1.0 (PyPI).
set -euo pipefail
if ! php -m 2>/dev/null | grep -q pdo_sqlite; then
  echo "SKIPPED: php with pdo_sqlite is not installed"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check apsw==3.54.1.0
cd "$folder"
cat > try.py <<'PY'
import sqlite3, apsw

INSERT = "INSERT INTO item (name) VALUES ('lamp') RETURNING id"
def fresh(name):
    db = sqlite3.connect(name, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    return lambda: db.execute("SELECT count(*) FROM item").fetchone()[0]

seen = fresh("a.db")
cursor = sqlite3.connect("a.db", isolation_level=None).execute(INSERT)
cursor.fetchone()
print("sqlite3:", seen(), end=" ")
cursor.fetchone()
print(seen())
seen = fresh("b.db")
cursor = apsw.Connection("b.db").execute(INSERT)
next(cursor)
print("apsw:", seen(), end=" ")
list(cursor)
print(seen())
PY
cat > try.php <<'PHP'
<?php
$db = new PDO('sqlite:c.db');
$db->exec('PRAGMA journal_mode = WAL');
$db->exec('CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)');
$other = new PDO('sqlite:c.db');
$seen = fn() => $other->query('SELECT count(*) FROM item')->fetchColumn();
$statement = $db->prepare("INSERT INTO item (name) VALUES ('lamp') RETURNING id");
$statement->execute();
$statement->fetchColumn();
echo 'pdo: ', $seen(), ' ';
$statement->closeCursor();
echo $seen(), "\n";
PHP
# Rows that a second connection sees: after the row was read, and after the cursor's end.
all=$("$folder/venv/bin/python" try.py; php try.php)
echo "$all"
[[ $all == $'sqlite3: 1 1\napsw: 0 1\npdo: 0 1' ]] || { echo "changed"; exit 1; }
# Seen: sqlite3: 1 1
# Seen: apsw: 0 1
# Seen: pdo: 0 1
