"""DuckDB: it cannot write the outbox, whose default it works out itself; it reads what there is."""
import glob, os, sys
import duckdb, duckdb_extension_sqlite_scanner as scanner

duck = duckdb.connect(config={"allow_unsigned_extensions": "true"})
duck.execute(f"LOAD '{glob.glob(os.path.dirname(scanner.__file__) + '/**/*.duckdb_extension', recursive=True)[0]}'")
duck.execute(f"ATTACH '{sys.argv[1]}' AS app (TYPE sqlite)")
duck.execute(f"ATTACH '{os.path.dirname(sys.argv[1])}/log.db' AS log (TYPE sqlite, READ_ONLY)")
if sys.argv[2] == "bad":
    duck.execute("INSERT INTO app.outbox (event, data) VALUES ('e', 'no JSON')")
elif sys.argv[2] == "read":
    for view in ("log", "failed", "health", "delivery"):
        print(view, len(duck.execute(f"SELECT * FROM log.{view}").fetchall()))
else:
    sys.exit(64)
