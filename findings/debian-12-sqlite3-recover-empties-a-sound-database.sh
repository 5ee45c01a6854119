#!/usr/bin/env bash
# The sqlite3 program of Debian 12 offers .recover and is built without the table that it reads by. On any database,
# also a sound one, it prints the head of a transaction and "sql error: SQL logic error". Piped into a new
# database, as its documentation shows, the pipe ends with 0 and the new database is empty.
#
# Meets: Debian's build options, and a dot-command that does not look whether it was built in.
# Seen on 2026-11-28 with sqlite3 3.40.1-2+deb12u2 (Debian 12). Needs Debian 12 and its sqlite3.
set -euo pipefail
case "$(sqlite3 --version 2>/dev/null)" in
  3.40.1*) ;;
  *) echo "SKIPPED: this is not Debian 12's sqlite3 3.40.1"; exit 0 ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query -W -f '${Package} ${Version}\n' sqlite3 2>/dev/null || true
sqlite3 sound.db "CREATE TABLE item (name TEXT); INSERT INTO item VALUES ('a'), ('b');"
echo "integrity_check: $(sqlite3 sound.db 'PRAGMA integrity_check')"
set +e
sqlite3 sound.db .recover 2>errors | sqlite3 recovered.db
codes=("${PIPESTATUS[@]}")
set -e
tables=$(sqlite3 recovered.db "SELECT count(*) FROM sqlite_schema")
echo ".recover ended with ${codes[0]}, said: $(cat errors)"
echo "the sqlite3 behind the pipe ended with ${codes[1]}; tables in the new database: $tables"
sqlite3 sound.db .dump | sqlite3 dumped.db
echo "rows by .dump instead: $(sqlite3 dumped.db 'SELECT count(*) FROM item')"
[[ ${codes[1]} == 0 && $tables == 0 && $(cat errors) == *"SQL logic error"* ]] || { echo "changed"; exit 1; }
# Seen: integrity_check: ok
# Seen: .recover ended with 1, said: sql error: SQL logic error (1)
# Seen: the sqlite3 behind the pipe ended with 0; tables in the new database: 0
# Seen: rows by .dump instead: 2
