"""peewee, with playhouse.migrate for the rebuild."""
import json, sys
from peewee import SQL, BigIntegerField, Model, SqliteDatabase, TextField

db = SqliteDatabase(sys.argv[1], timeout=10)


class Story(Model):
    title = TextField()

    class Meta:
        database, table_name = db, "story"


class Outbox(Model):
    event, data = TextField(), TextField()
    tenant, key = TextField(null=True), TextField(null=True, unique=True)

    class Meta:
        database, table_name = db, "outbox"


def commit(n):
    for i in range(n):
        with db.atomic():
            Story.create(title=str(i))
            Outbox.create(event="e", data=json.dumps({"n": i}), key=f"k{i}")


def rollback():
    with db.atomic() as transaction:
        Outbox.create(event="never", data="{}")
        transaction.rollback()


def bad():
    Outbox.create(event="e", data="no JSON")


def ignore():
    Outbox.insert(event="e", data="no JSON").on_conflict_ignore().execute()


def upsert():
    Outbox.insert(event="e", data='{"n": "new"}', key="k0").on_conflict(
        conflict_target=[Outbox.key], update={Outbox.data: '{"n": "new"}'}).execute()


def update():
    Outbox.update(tenant="acme").execute()


def empty():
    with db.atomic():
        Outbox.delete().execute()
        db.execute_sql("DELETE FROM sqlite_sequence WHERE name = 'outbox'")


def rebuild():
    from playhouse.migrate import SqliteMigrator, migrate
    migrate(SqliteMigrator(db).alter_column_type("outbox", "tenant", TextField(null=True)))


db.connect()
globals()[sys.argv[2]](*map(int, sys.argv[3:]))
db.close()
