#!/usr/bin/env bash
# bulk_create(ignore_conflicts=True) is for rows that are there already. On SQLite Django writes INSERT OR IGNORE for
# it, which skips a row that fails a CHECK or a NOT NULL as well, without a word; on the engines where it writes ON CONFLICT DO NOTHING
# that row is an error. SQLAlchemy's on_conflict_do_nothing writes the latter for SQLite too, and there the CHECK is an error.
#
# Meets: an ORM's option, and what SQLite counts as a conflict.
# Seen on 2026-11-28 with Django 5.2.19, SQLAlchemy 2.1.9 (PyPI), Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check Django==5.2.19 SQLAlchemy==2.1.9
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sqlite3, sys
import django, sqlalchemy
from django.conf import settings
from sqlalchemy.dialects.sqlite import insert

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}})
django.setup()
from django.db import models


class Item(models.Model):
    price = models.IntegerField()

    class Meta:
        app_label, db_table = "shop", "item"


sqlite3.connect("shop.db").execute("CREATE TABLE item (id INTEGER PRIMARY KEY, price INTEGER NOT NULL CHECK (price > 0))")
made = Item.objects.bulk_create([Item(price=-1), Item(price=5)], ignore_conflicts=True)
print("Django: returned", len(made), "objects, rows in the table:", Item.objects.count())
engine = sqlalchemy.create_engine("sqlite:///shop.db")
table = sqlalchemy.Table("item", sqlalchemy.MetaData(), autoload_with=engine)
try:
    with engine.begin() as connection:
        connection.execute(insert(table).values(price=-1).on_conflict_do_nothing())
    said = "no error"
except sqlalchemy.exc.IntegrityError as error:
    said = str(error.orig).split(":")[0]
print("SQLAlchemy:", said)
if (len(made), Item.objects.count(), said) != (2, 1, "CHECK constraint failed"):
    sys.exit("changed")
PY
# Seen: Django: returned 2 objects, rows in the table: 1
# Seen: SQLAlchemy: CHECK constraint failed
