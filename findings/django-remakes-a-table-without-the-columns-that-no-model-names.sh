#!/usr/bin/env bash
# On SQLite Django changes a column by making the table anew from its model. A column that the model does not name, which
# Django reads and writes happily around, is not in the new table: its values are gone, with the CHECKs and triggers,
# and nothing says so. The same migration on PostgreSQL is an ALTER COLUMN that touches nothing else.
#
# Meets: a table that others have a part in, and a schema editor that believes its model.
# Seen on 2026-11-28 with Django 5.2.19 (PyPI), Python 3.11, SQLite 3.40 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check Django==5.2.19
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys
import django
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}})
django.setup()
from django.db import connection, models


class Item(models.Model):
    name = models.TextField()

    class Meta:
        app_label, db_table = "shop", "item"


cursor = connection.cursor()
cursor.execute("CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL CHECK (name <> ''), made_at TEXT DEFAULT CURRENT_TIMESTAMP)")
cursor.execute("CREATE TRIGGER guard AFTER INSERT ON item WHEN NEW.id > 99 BEGIN SELECT RAISE(ABORT, 'full'); END")
Item.objects.create(name="lamp")


def look():
    columns = [row[1] for row in cursor.execute("PRAGMA table_info(item)").fetchall()]
    sql = " ".join(row[0] for row in cursor.execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'item' AND sql IS NOT NULL").fetchall())
    return {"columns": sorted(columns), "checks": sql.count("CHECK"), "triggers": sql.count("TRIGGER")}


before = look()
with connection.schema_editor() as editor:
    field = models.CharField(max_length=80)
    field.set_attributes_from_name("name")
    field.model = Item
    editor.alter_field(Item, Item._meta.get_field("name"), field)
after = look()
print("before:", before)
print("after: ", after)
if after != {"columns": ["id", "name"], "checks": 0, "triggers": 0}:
    sys.exit("changed")
PY
# Seen: before: {'columns': ['id', 'made_at', 'name'], 'checks': 1, 'triggers': 1}
# Seen: after:  {'columns': ['id', 'name'], 'checks': 0, 'triggers': 0}
