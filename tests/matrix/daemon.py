"""One webhooksd and one receiver of its own, for the matrix."""
import http.server, json, os, pathlib, shutil, signal, sqlite3, subprocess, tempfile, threading, time


def until(condition, seconds):
    """Waits for a condition, at most so long; whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


class Receiver:
    """Answers 200 and keeps the bodies."""

    def __init__(self):
        bodies = self.bodies = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bodies.append(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self):
        self.server.shutdown()


class Daemon:
    """A folder with app.db, in which webhooksd's own schema was run, and a running daemon."""

    def __init__(self, binary, webhooks, schema="", secret=None, top="", more=()):
        self.binary, self.folder = binary, pathlib.Path(tempfile.mkdtemp(prefix="webhooksd-matrix-"))
        self.app = self.folder / "app.db"
        made = subprocess.run([binary, "schema", "outbox"], capture_output=True, text=True, check=True).stdout
        db = sqlite3.connect(self.app)
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(made + schema)
        db.close()
        secrets = dict(more) | ({} if secret is None else {"secret": secret})
        for file, text in secrets.items():
            (self.folder / file).touch(0o600)
            (self.folder / file).write_text(text)
        self.config = self.folder / "webhooks.toml"
        text = top + '[outbox]\npath = "app.db"\n[socket]\npath = "s.sock"\n[log]\npath = "log.db"\n'
        for name, url, more, events in webhooks:
            text += f'[[webhook]]\nname = "{name}"\nurl = "{url}"\nevents = {json.dumps(events)}\n{more}\n'
        self.config.write_text(text)
        self.start()

    def start(self):
        self.err = open(self.folder / "journal", "ab")
        self.process = subprocess.Popen([self.binary, "run", "--config", self.config], cwd=self.folder, stdout=self.err, stderr=self.err)
        if not until(lambda: "ready: following" in self.journal() or self.process.poll() is not None, 10):
            raise RuntimeError("not ready: " + self.journal()[-300:])

    def journal(self):
        return (self.folder / "journal").read_text(errors="replace")

    def runs(self):
        return self.process.poll() is None

    def cli(self, *words):
        done = subprocess.run([self.binary, words[0], "--config", self.config, *words[1:]], cwd=self.folder, capture_output=True, text=True)
        return done.stdout + done.stderr

    def log(self, sql):
        db = sqlite3.connect(self.folder / "log.db", timeout=10)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def stop(self):
        if self.runs():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def close(self):
        self.stop()
        self.err.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def has(*programs):
    return all(shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin") for p in programs)
