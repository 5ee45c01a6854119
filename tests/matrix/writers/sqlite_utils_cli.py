"""sqlite-utils: its Python interface, and `transform` for the rebuild."""
import json, sys
import sqlite_utils

db = sqlite_utils.Database(sys.argv[1])


def commit(n):
    for i in range(n):
        with db.conn:
            db["story"].insert({"title": str(i)})
            db["outbox"].insert({"event": "e", "data": json.dumps({"n": i}), "key": f"k{i}"})


def rollback():
    try:
        with db.conn:
            db.execute("INSERT INTO outbox (event, data) VALUES ('never', '{}')")
            raise KeyError
    except KeyError:
        pass


def bad():
    db["outbox"].insert({"event": "e", "data": "no JSON"})


def ignore():
    db["outbox"].insert({"event": "e", "data": "no JSON"}, ignore=True)


def upsert():
    with db.conn:
        db.execute("INSERT INTO outbox (event, data, key) VALUES ('e', '{\"n\": \"new\"}', 'k0') "
                   "ON CONFLICT (key) DO UPDATE SET data = excluded.data")


def update():
    with db.conn:
        db.execute("UPDATE outbox SET tenant = 'acme'")


def empty():
    with db.conn:
        db.execute("DELETE FROM outbox")
        db.execute("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'outbox'")


def rebuild():
    db["outbox"].transform(rename={}, types={"event": str})


globals()[sys.argv[2]](*map(int, sys.argv[3:]))
db.conn.close()
