#!/usr/bin/env bash
# A login whose role is set for it (ALTER ROLE login SET role = team, the usual way to have a team own what its members
# make) is no longer itself where rights are asked: of the other sessions of the same login pg_stat_activity hides what
# they run and what they wait for, though both are of one login and the view names it for both. A monitor that logs in as
# the program it watches finds nobody waiting. pg_blocking_pids and the number of the process are told all the same, and
# SET LOCAL ROLE NONE shows the rest. And "usename = current_user" finds none of them, for usename is who logged in.
#
# Meets: a role that is set at login, and a view that shows a user its own sessions.
# Seen on 2026-11-30 with PostgreSQL 16.2 (PyPI: pgserver 0.1.4, psycopg2-binary 2.9.9), Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pgserver==0.1.4 psycopg2-binary==2.9.9
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import os, sys, threading, time
import pgserver, psycopg2
from psycopg2.extensions import make_dsn

server = pgserver.get_server(os.path.join(os.getcwd(), "data"))
try:
    owner = psycopg2.connect(server.get_uri())
    owner.autocommit = True
    sql = owner.cursor()
    sql.execute("SHOW server_version")
    print("PostgreSQL", sql.fetchone()[0].split(" ")[0])
    sql.execute("CREATE ROLE team; CREATE ROLE login LOGIN IN ROLE team; ALTER ROLE login SET role = team")
    sql.execute("CREATE TABLE item (a int); ALTER TABLE item OWNER TO team")
    owner.autocommit = False
    sql.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")

    def connect():
        session = psycopg2.connect(make_dsn(server.get_uri(), user="login"))
        session.autocommit = True
        return session

    waiting = connect()
    pid = waiting.info.backend_pid
    thread = threading.Thread(target=lambda: waiting.cursor().execute("SELECT count(*) FROM item"))
    thread.start()
    watch = connect().cursor()
    for _ in range(200):
        watch.execute("SELECT cardinality(pg_blocking_pids(%s))", (pid,))
        if watch.fetchone()[0]:
            break
        time.sleep(0.05)
    look = "SELECT usename, current_user, session_user, query, wait_event_type FROM pg_stat_activity WHERE pid = %s"
    lines = []
    for role in ("team", "none"):
        watch.execute(f"BEGIN; SET LOCAL ROLE {role}")
        watch.execute(look, (pid,))
        lines.append(f"role {role}: {watch.fetchone()}")
        watch.execute("ROLLBACK")
    watch.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = current_user")
    lines.append(f"sessions of current_user: {watch.fetchone()[0]}")
    owner.rollback()
    thread.join()
finally:
    server.cleanup()
print("\n".join(lines))
if lines != [
    "role team: ('login', 'team', 'login', '<insufficient privilege>', None)",
    "role none: ('login', 'login', 'login', 'SELECT count(*) FROM item', 'Lock')",
    "sessions of current_user: 0",
]:
    sys.exit("changed")
PY
# Seen: role team: ('login', 'team', 'login', '<insufficient privilege>', None)
# Seen: role none: ('login', 'login', 'login', 'SELECT count(*) FROM item', 'Lock')
# Seen: sessions of current_user: 0
