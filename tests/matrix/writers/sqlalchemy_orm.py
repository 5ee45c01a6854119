"""SQLAlchemy's ORM, with Alembic's batch mode for the rebuild."""
import json, sys
from sqlalchemy import MetaData, String, create_engine, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session

engine = create_engine(f"sqlite:///{sys.argv[1]}")
Base = automap_base()
Base.prepare(autoload_with=engine)
Outbox, Story = Base.classes.outbox, Base.classes.story


def commit(n):
    for i in range(n):
        with Session(engine) as session, session.begin():
            session.add_all([Story(title=str(i)), Outbox(event="e", data=json.dumps({"n": i}), key=f"k{i}")])


def rollback():
    with Session(engine) as session:
        session.add(Outbox(event="never", data="{}"))
        session.flush()
        session.rollback()


def bad():
    with Session(engine) as session, session.begin():
        session.add(Outbox(event="e", data="no JSON"))


def ignore():
    with engine.begin() as connection:
        connection.execute(insert(Outbox).values(event="e", data="no JSON").prefix_with("OR IGNORE"))


def upsert():
    with engine.begin() as connection:
        row = insert(Outbox).values(event="e", data='{"n": "new"}', key="k0")
        connection.execute(row.on_conflict_do_update(index_elements=["key"], set_={"data": row.excluded.data}))


def update():
    with Session(engine) as session, session.begin():
        session.query(Outbox).update({"tenant": "acme"})


def empty():
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM outbox"))
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = 'outbox'"))


def rebuild():
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("outbox") as batch:
            batch.alter_column("event", type_=String(255))


globals()[sys.argv[2]](*map(int, sys.argv[3:]))
