"""Several events in one POST, to receivers that really take arrays, made of libraries that people make them of.

Three of three hundred events are such as the receiver refuses: all others are to arrive, once each, and each of the
three ends alone. `single` takes no arrays at all: nothing arrives, and the journal asks whether it takes them.
"""
import os, pathlib, shutil, sqlite3, tempfile

from daemon import Daemon, has, until
from receivers import HERE, Server

EVENTS, BAD = 300, (17, 150, 151)
MORE = 'dialect = "openboxes-lift"\ninsecure_http = true\nmax_in_flight = 1\nbatch = { max_events = 100 }\nsecret_file = "secret"'


def receivers(tools):
    """Name, whether it is here, how it is started (folder, port → command), where it takes events."""
    uvicorn = lambda f, p: [tools / "venv/bin/uvicorn", "--app-dir", HERE, "batches:app", "--port", p, "--log-level", "error"]
    gunicorn = lambda f, p: [tools / "venv/bin/gunicorn", "--chdir", HERE, "-b", f"127.0.0.1:{p}", "--log-level", "error", "batches:wsgi"]
    yield "fastapi", True, uvicorn, "many"
    yield "flask", True, gunicorn, "named"
    yield "fastify", has("node") and (tools / "node/node_modules/fastify").exists(), lambda f, p: ["node", HERE / "batches.js", p], "many"
    yield "single", True, uvicorn, "single"


def emit(app):
    db = sqlite3.connect(app, timeout=10)
    with db:
        rows = [(f'{{"n":{n},"bad":true}}' if n in BAD else f'{{"n":{n}}}',) for n in range(1, EVENTS + 1)]
        db.executemany("INSERT INTO outbox (event, data) VALUES ('stock.moved', ?)", rows)
    db.close()


def row(binary, tools, start, path):
    out = pathlib.Path(tempfile.mkdtemp(prefix="webhooksd-matrix-out-"))
    os.environ |= {"OUT": str(out / "taken"), "NODE_PATH": str(tools / "node/node_modules")}
    (out / "taken").touch()
    server = Server(start)
    daemon = None
    try:
        daemon = Daemon(binary, [("depot", f"http://127.0.0.1:{server.port}/{path}", MORE, ["*"])], secret="a-secret-that-both-know",
                        top='tenant = "acme"\n')
        emit(daemon.app)
        count = lambda sql: daemon.log(f"SELECT count(*) FROM {sql}")[0][0]
        # Each has its first send behind it; what stood alone and was refused waits for its next.
        until(lambda: count("delivery WHERE state = 'pending' AND attempts = 0") == 0 and count("delivery") == EVENTS, 60)
        posts = count("(SELECT DISTINCT time, batch FROM log)")
        refused = [n for (n,) in daemon.log("SELECT event_id FROM delivery WHERE state = 'pending' AND attempts = 1 ORDER BY event_id")]
        taken = (out / "taken").read_text().split()
        asked = "takes arrays" in daemon.journal() or "array" in daemon.journal()
        if path == "single":
            good = not taken and len(refused) == EVENTS and asked
            return ["none, and the journal asks for it" if good else f"NO: {len(taken)} taken, {len(refused)} refused, asked: {asked}", str(posts)]
        good = len(taken) == len(set(taken)) == EVENTS - len(BAD) and refused == list(BAD)
        return [f"{len(taken)} once, {len(refused)} alone" if good else f"NO: {len(taken)} taken, refused {refused}", str(posts)]
    finally:
        if daemon:
            daemon.close()
        server.close()
        shutil.rmtree(out, ignore_errors=True)


def table(binary, tools, wanted):
    if not any(wanted(name) for name, *_ in receivers(tools)):
        return 0
    print(f"\n| receiver | of {EVENTS} events in arrays, {len(BAD)} refused | POSTs |\n|---|---|---|")
    bad = 0
    for name, here, start, path in receivers(tools):
        if not wanted(name):
            continue
        if not here:
            print(f"| {name} | SKIPPED: not installed | |", flush=True)
            continue
        cells = row(binary, tools, start, path)
        bad += sum(c.startswith("NO") for c in cells)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return bad
