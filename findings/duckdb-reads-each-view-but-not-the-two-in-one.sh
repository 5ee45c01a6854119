#!/usr/bin/env bash
# DuckDB reads a SQLite view in one of two ways: it runs the view's text itself where it knows all of it, else it
# writes the text anew in its own words and hands that to SQLite. A view with count(*) can be read, and one with
# SQLite's strftime('%Y', a number) too; one with both can't: on the second way count(*) became count_star(),
# which SQLite does not have. The error shows a query that nobody wrote. With count(id) for count(*) it is read.
#
# Meets: DuckDB's sqlite extension, and views that are right in SQLite.
# Seen on 2026-11-28 with duckdb 1.5.5 and duckdb-extension-sqlite-scanner 1.5.5 (PyPI), Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check duckdb==1.5.5 duckdb-extension-sqlite-scanner==1.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import glob, os, sqlite3, sys
import duckdb, duckdb_extension_sqlite_scanner as scanner

COUNT = "(SELECT count({}) FROM item i WHERE i.shelf = o.shelf) AS n"
YEAR = "strftime('%Y', 0) AS year"
VIEWS = {
    "count(*)": COUNT.format("*"),
    "strftime of a number": YEAR,
    "both": f"{COUNT.format('*')}, {YEAR}",
    "both, with count(id)": f"{COUNT.format('i.id')}, {YEAR}",
}
db = sqlite3.connect("shop.db")
db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, shelf TEXT)")
db.execute("INSERT INTO item (shelf) VALUES ('a'), ('a')")
for number, columns in enumerate(VIEWS.values()):
    db.execute(f"CREATE VIEW v{number} AS SELECT shelf, {columns} FROM item o")
db.commit()
assert all(len(db.execute(f"SELECT * FROM v{n}").fetchall()) == 2 for n in range(4))
db.close()
duck = duckdb.connect(config={"allow_unsigned_extensions": "true"})
duck.execute(f"LOAD '{glob.glob(os.path.dirname(scanner.__file__) + '/**/*.duckdb_extension', recursive=True)[0]}'")
duck.execute("ATTACH 'shop.db' AS shop (TYPE sqlite)")
seen = {}
for number, name in enumerate(VIEWS):
    try:
        seen[name] = f"{len(duck.execute(f'SELECT * FROM shop.v{number}').fetchall())} rows"
    except duckdb.Error as error:
        seen[name] = "no such function: count_star" if "no such function: count_star" in str(error) else str(error)
    print(f"{name}: {seen[name]}")
if list(seen.values()) != ["2 rows", "2 rows", "no such function: count_star", "2 rows"]:
    sys.exit("changed")
PY
# Seen: count(*): 2 rows
# Seen: strftime of a number: 2 rows
# Seen: both: no such function: count_star
# Seen: both, with count(id): 2 rows
