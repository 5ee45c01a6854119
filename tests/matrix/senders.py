"""The writers: each does the same deeds with its own words, one process a deed, beside a running webhooksd."""
import os, pathlib, shutil, sqlite3, subprocess, time

from daemon import Daemon, Receiver, has, until

HERE = pathlib.Path(__file__).resolve().parent / "writers"
STORY = "CREATE TABLE story (id INTEGER PRIMARY KEY, title TEXT NOT NULL);"
JDBC = "/usr/share/java/sqlite-jdbc.jar"
EVENTS = 20
# What a tool's rebuild may lose, as the daemon or `check` would name it.
GUARDS = ("TRIGGER", "AUTOINCREMENT", "CHECK", "UNIQUE")


def writers(folder):
    """Name, command, whether it is here, whether it has a rebuild of its own."""
    python, node = str(folder / "venv/bin/python"), {"NODE_PATH": str(folder / "node/node_modules")}
    yield "django", [python, HERE / "django_orm.py"], True, True, {}
    yield "sqlalchemy", [python, HERE / "sqlalchemy_orm.py"], True, True, {}
    yield "sqlite-utils", [python, HERE / "sqlite_utils_cli.py"], True, True, {}
    yield "peewee", [python, HERE / "peewee_orm.py"], True, True, {}
    yield "apsw", [python, HERE / "apsw_driver.py"], True, False, {}
    yield "better-sqlite3", ["node", HERE / "better_sqlite3.js"], has("node"), False, node
    yield "knex", ["node", HERE / "knex.js"], has("node"), True, node
    yield "pdo", ["php", HERE / "pdo.php"], has("php"), False, {}
    yield "dbd-sqlite", ["perl", HERE / "dbd_sqlite.pl"], has("perl"), False, {}
    yield "ruby", ["ruby", HERE / "ruby_sqlite3.rb"], has("ruby"), False, {}
    yield "sqlite-jdbc", ["java", "-cp", JDBC, HERE / "SqliteJdbc.java"], has("java") and os.path.exists(JDBC), False, {}


class Row:
    def __init__(self, binary, command, environment):
        self.receiver = Receiver()
        self.daemon = Daemon(binary, [("all", self.receiver.url, "keep_alive = true", ["*"])], STORY)
        self.command, self.environment = command, dict(os.environ, **environment)

    def deed(self, *words):
        return subprocess.run([*self.command, self.daemon.app, *map(str, words)], env=self.environment, cwd=self.daemon.folder,
                              capture_output=True, text=True, timeout=120)

    def arrived(self):
        return len(self.receiver.bodies)

    def quiet(self, seconds=1.5):
        """How many arrive though nothing was written."""
        before = self.arrived()
        time.sleep(seconds)
        return self.arrived() - before

    def commit(self):
        done = self.deed("commit", EVENTS)
        if done.returncode:
            return "NO: " + done.stderr.strip().splitlines()[-1][:80]
        until(lambda: self.arrived() >= EVENTS, 10)
        return "yes" if self.arrived() == EVENTS else f"NO: {self.arrived()} of {EVENTS}"

    def copy(self):
        """The application has closed: is a copy of the main file alone whole?"""
        def whole():
            shutil.copy(self.daemon.app, self.daemon.folder / "copy.db")
            db = sqlite3.connect(self.daemon.folder / "copy.db")
            try:
                return db.execute("SELECT count(*) FROM story").fetchone()[0]
            except sqlite3.Error:
                return 0
            finally:
                db.close()
        until(lambda: whole() == EVENTS, 5)
        return "yes" if whole() == EVENTS else f"NO: {whole()} of {EVENTS} rows"

    def rollback(self):
        done = self.deed("rollback")
        return "yes" if done.returncode == 0 and self.quiet() == 0 else "NO: " + done.stderr[-80:]

    def bad(self):
        done = self.deed("bad")
        return "yes" if done.returncode and "data is JSON" in done.stderr + done.stdout else "NO: " + (done.stderr[-80:] or "no error")

    def ignore(self):
        """Nothing that webhooksd could do: what the tool does with a bad row where it may ignore conflicts."""
        done = self.deed("ignore")
        return "refused" if done.returncode else "dropped"

    def unchanged(self, deed):
        done = self.deed(deed)
        if done.returncode:
            return "NO: " + done.stderr.strip().splitlines()[-1][:80]
        again = self.quiet(2.0)
        if not self.daemon.runs():
            return "NO: the daemon ended"
        return "yes" if again == 0 else f"NO: {again} sent again"

    def empty(self):
        done = self.deed("empty")
        if done.returncode:
            return "NO: " + done.stderr.strip().splitlines()[-1][:80]
        time.sleep(1.0)
        before = self.arrived()
        self.deed("commit", EVENTS)
        until(lambda: self.arrived() >= before + EVENTS, 8)
        if not self.daemon.runs():
            return "NO: the daemon ended"
        return "yes" if self.arrived() == before + EVENTS else f"NO: {self.arrived() - before} of {EVENTS}"

    def rebuild(self, has_one):
        if not has_one:
            return "–"
        guards = lambda: sqlite3.connect(self.daemon.app).execute("SELECT group_concat(sql) FROM sqlite_schema WHERE tbl_name = 'outbox'").fetchone()[0].upper()
        before = guards()
        done = self.deed("rebuild")
        if done.returncode:
            return "refused by the tool"
        time.sleep(1.0)
        after = guards()
        lost = [g for g in GUARDS if after.count(g) < before.count(g)]
        if not lost:
            return "nothing lost"
        told = self.daemon.journal() + self.daemon.cli("check")
        # In capitals, but for the trigger: "check" is a command, too.
        silent = [g for g in lost if g not in told and (g != "TRIGGER" or "trigger" not in told)]
        return f"NO: {', '.join(silent)} lost, not told" if silent else f"{', '.join(lost)} lost, told"

    def close(self):
        self.daemon.close()
        self.receiver.close()


DEEDS = ("once, with its data", "copy whole", "rollback", "bad row named", "“ignore”", "upsert", "UPDATE", "emptied", "rebuilt")


def table(binary, folder, wanted):
    if not any(wanted(name) for name, *_ in writers(folder)):
        return duckdb(binary, folder) if wanted("duckdb") else 0
    print("| writer | " + " | ".join(DEEDS) + " |\n|" + "---|" * (len(DEEDS) + 1))
    bad = 0
    for name, command, here, rebuilds, environment in writers(folder):
        if not wanted(name):
            continue
        if not here:
            print(f"| {name} | SKIPPED: not installed" + " |" * len(DEEDS), flush=True)
            continue
        row = Row(binary, command, environment)
        try:
            cells = [row.commit(), row.copy(), row.rollback(), row.bad(), row.ignore(), row.unchanged("upsert"), row.unchanged("update"),
                     row.empty(), row.rebuild(rebuilds)]
        finally:
            row.close()
        bad += sum(cell.startswith("NO") for cell in cells)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    if wanted("duckdb"):
        bad += duckdb(binary, folder)
    return bad


def duckdb(binary, folder):
    """DuckDB can't write the outbox; it has to be able to read the log."""
    row = Row(binary, [str(folder / "venv/bin/python"), HERE / "duckdb_reader.py"], {})
    try:
        read, wrote = row.deed("read"), row.deed("bad")
        said = "reads log, failed, health, delivery" if read.returncode == 0 else "NO: " + read.stderr.strip().splitlines()[-1][-80:]
        print(f"\nduckdb: {said}; its INSERT is refused by {'itself' if 'Binder' in wrote.stderr else 'NO: ' + wrote.stderr[-60:]}", flush=True)
        return int(said.startswith("NO"))
    finally:
        row.close()
