"""Django: models over the application's table and the outbox; `flush` is its way to empty a database."""
import json, sys
import django
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
                   DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()
from django.db import connection, models, transaction
from django.db.models.expressions import RawSQL


class Story(models.Model):
    title = models.TextField()

    class Meta:
        app_label, db_table = "news", "story"


class Outbox(models.Model):
    event, data = models.TextField(), models.TextField()
    tenant, key = models.TextField(null=True), models.TextField(null=True, unique=True)
    # A rebuild keeps what the model knows, so it has to know this column, though it never fills it in.
    time = models.BigIntegerField(db_default=RawSQL("CAST(strftime('%%s', 'now') AS INTEGER) * 1000", ()))

    class Meta:
        app_label, db_table, managed = "news", "outbox", True


def commit(n):
    for i in range(n):
        with transaction.atomic():
            Story.objects.create(title=str(i))
            Outbox.objects.create(event="e", data=json.dumps({"n": i}), key=f"k{i}")


def rollback():
    try:
        with transaction.atomic():
            Outbox.objects.create(event="never", data="{}")
            raise KeyError
    except KeyError:
        pass


def bad():
    Outbox.objects.create(event="e", data="no JSON")


def ignore():
    Outbox.objects.bulk_create([Outbox(event="e", data="no JSON")], ignore_conflicts=True)


def upsert():
    Outbox.objects.bulk_create([Outbox(event="e", data='{"n": "new"}', key="k0")], update_conflicts=True,
                               unique_fields=["key"], update_fields=["data"])


def update():
    Outbox.objects.update(tenant="acme")


def empty():
    # What `manage.py flush` runs for these models.
    for sql in connection.ops.sql_flush(django.core.management.color.no_style(), ["outbox"], reset_sequences=True):
        connection.cursor().execute(sql)


def rebuild():
    with connection.schema_editor() as editor:
        old, new = Outbox._meta.get_field("event"), models.CharField(max_length=255)
        new.set_attributes_from_name("event")
        new.model = Outbox
        editor.alter_field(Outbox, old, new)


import django.core.management.color  # noqa: E402

action = sys.argv[2]
globals()[action](*map(int, sys.argv[3:]))
