#!/usr/bin/env bash
# A keyset page, (a, b) > (x, y), beside a plain bound on the same first column, a >= z: an index on (a, b) can begin
# at either, and PostgreSQL begins at the row comparison whatever the two values are. Where that is the lower one (a
# cursor that stands at (0, 0), and "nothing before z" beside it) it reads the index from its start, though the other
# bound alone goes to the place at once; the plan shows both as index conditions and looks the same. With the plain
# bound alone, or with both turned into one row comparison, a handful of pages is read.
#
# Meets: keyset pagination by row values, and a filter on the same column.
# Seen on 2026-11-30 with PostgreSQL 16.2 (PyPI: pgserver 0.1.4, psycopg2-binary 2.9.9), Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pgserver==0.1.4 psycopg2-binary==2.9.9
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import json, os, sys
import pgserver, psycopg2

server = pgserver.get_server(os.path.join(os.getcwd(), "data"))
try:
    db = psycopg2.connect(server.get_uri())
    db.autocommit = True
    sql = db.cursor()
    sql.execute("CREATE TABLE item (a bigint, b bigint, PRIMARY KEY (a, b))")
    sql.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 120000) n")
    sql.execute("VACUUM ANALYZE item")
    sql.execute("SET enable_seqscan = off")
    sql.execute("SET enable_bitmapscan = off")
    sql.execute("SHOW server_version")
    print("PostgreSQL", sql.fetchone()[0].split(" ")[0])

    def pages(where):
        sql.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT a FROM item WHERE {where} ORDER BY a, b LIMIT 10")
        plan = sql.fetchone()[0][0]["Plan"]
        assert "Index" in json.dumps(plan["Plans"]), plan
        return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    seen = {where: pages(where) for where in (
        "a >= 119990",
        "(a, b) > (119990, 0)",
        "a >= 119990 AND (a, b) > (0, 0)",
        "a >= 0 AND (a, b) > (119990, 0)",
    )}
finally:
    server.cleanup()
few = {where: count < 20 for where, count in seen.items()}
for where, is_few in few.items():
    print(f"{where}: {'a few pages' if is_few else 'hundreds of pages' if seen[where] > 300 else seen[where]}")
if list(few.values()) != [True, True, False, True]:
    sys.exit("changed")
PY
# Seen: a >= 119990: a few pages
# Seen: (a, b) > (119990, 0): a few pages
# Seen: a >= 119990 AND (a, b) > (0, 0): hundreds of pages
# Seen: a >= 0 AND (a, b) > (119990, 0): a few pages
