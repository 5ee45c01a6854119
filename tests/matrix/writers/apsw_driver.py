"""APSW: SQLite's newest library, bundled, in autocommit with RETURNING."""
import json, sys
import apsw

db = apsw.Connection(sys.argv[1])
db.set_busy_timeout(10_000)


def commit(n):
    for i in range(n):
        with db:
            db.execute("INSERT INTO story (title) VALUES (?)", (str(i),))
            list(db.execute("INSERT INTO outbox (event, data, key) VALUES ('e', ?, ?) RETURNING id",
                            (json.dumps({"n": i}), f"k{i}")))


def rollback():
    try:
        with db:
            db.execute("INSERT INTO outbox (event, data) VALUES ('never', '{}')")
            raise KeyError
    except KeyError:
        pass


def bad():
    db.execute("INSERT INTO outbox (event, data) VALUES ('e', 'no JSON')")


def ignore():
    db.execute("INSERT OR IGNORE INTO outbox (event, data) VALUES ('e', 'no JSON')")


def upsert():
    db.execute("INSERT INTO outbox (event, data, key) VALUES ('e', '{\"n\": \"new\"}', 'k0') "
               "ON CONFLICT (key) DO UPDATE SET data = excluded.data")


def update():
    db.execute("UPDATE outbox SET tenant = 'acme'")


def empty():
    sql = db.execute("SELECT group_concat(sql || ';', char(10)) FROM sqlite_schema WHERE tbl_name = 'outbox' AND sql IS NOT NULL").get
    with db:
        db.execute("DROP TABLE outbox; " + sql)


globals()[sys.argv[2]](*map(int, sys.argv[3:]))
db.close()
