"""The servers: real ones as endpoints, each with a short keep-alive time-out of its own.

What is looked for: attempts that fail because a kept connection is closed as the next request goes out. So events are
written at the very time-out, some before and some behind it, to several webhooks at once.
"""
import heapq, os, pathlib, random, shutil, signal, socket, sqlite3, subprocess, tempfile, time

from daemon import Daemon, has, until

HERE = pathlib.Path(__file__).resolve().parent / "servers"
WEBHOOKS = 16
LANES = [f"w{n}" for n in range(WEBHOOKS)]
ROUNDS = 20
# Around the time-out, in seconds, in turns: for servers with a timer each, and for those that look once a second.
SPREADS = ((-0.02, 0.02), (0.0, 1.0))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def servers(tools):
    """Name, whether it is here, how it is started (folder, port → command), its keep-alive time-out in seconds."""
    python = tools / "venv/bin"
    yield "uvicorn", True, lambda f, p: [python / "uvicorn", "--app-dir", HERE, "apps:asgi", "--port", p, "--timeout-keep-alive", 1, "--log-level", "error"], 1.0
    yield "hypercorn", True, lambda f, p: [python / "hypercorn", "--keep-alive", 1, "--log-level", "error", "-b", f"127.0.0.1:{p}", "apps:asgi"], 1.0
    yield "gunicorn", True, lambda f, p: [python / "gunicorn", "-k", "gthread", "--threads", 32, "--keep-alive", 1, "--log-level", "error", "-b", f"127.0.0.1:{p}", "apps:wsgi"], 1.0
    yield "waitress", True, lambda f, p: [python / "waitress-serve", "--listen", f"127.0.0.1:{p}", "--channel-timeout", 1, "--cleanup-interval", 1, "--threads", 16, "apps:wsgi"], 1.0
    yield "node", has("node"), lambda f, p: ["node", HERE / "node.js", p, 1000], 1.0
    yield "nginx", has("nginx"), lambda f, p: ["nginx", "-p", f, "-c", write(f, "nginx.conf", NGINX.format(port=p, folder=f))], 1.0
    yield "apache", has("apache2"), lambda f, p: ["apache2", "-D", "FOREGROUND", "-f", write(f, "apache.conf", APACHE.format(port=p, folder=f))], 1.0
    yield "haproxy", has("haproxy"), lambda f, p: ["haproxy", "-db", "-f", write(f, "haproxy.cfg", HAPROXY.format(port=p))], 1.0
    yield "caddy", has("caddy"), lambda f, p: ["caddy", "run", "--adapter", "caddyfile", "--config", write(f, "Caddyfile", CADDY.format(port=p))], 1.0
    yield "lighttpd", has("lighttpd"), lambda f, p: ["lighttpd", "-D", "-f", write(f, "lighttpd.conf", LIGHTTPD.format(port=p, folder=f))], 1.0
    yield "puma", has("puma"), lambda f, p: ["puma", "-q", "-t", "16:16", "-b", f"tcp://127.0.0.1:{p}", "-C", HERE / "puma.rb", HERE / "config.ru"], 1.0


NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{ access_log off; keepalive_timeout 1s; client_max_body_size 4m; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}
"""
APACHE = """ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
KeepAlive On
KeepAliveTimeout 1
RewriteEngine On
RewriteRule .* - [R=200,L]
"""
HAPROXY = """defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
  timeout http-keep-alive 1s
frontend f
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string ok
"""
CADDY = """{{
  admin off
  auto_https off
  servers {{
    timeouts {{
      idle 1s
    }}
  }}
}}
http://127.0.0.1:{port} {{
  respond "ok" 200
}}
"""
LIGHTTPD = """server.document-root = "{folder}"
server.port = {port}
server.bind = "127.0.0.1"
server.max-keep-alive-idle = 1
server.max-keep-alive-requests = 1000
server.modules = ("mod_rewrite", "mod_cgi")
url.rewrite-once = (".*" => "/answer.sh")
cgi.assign = (".sh" => "/bin/sh")
"""


class Server:
    def __init__(self, start):
        self.folder, self.port = pathlib.Path(tempfile.mkdtemp(prefix="webhooksd-matrix-server-")), free_port()
        os.chmod(self.folder, 0o777)
        (self.folder / "answer.sh").write_text("cat >/dev/null; printf 'Status: 200\\r\\nContent-Length: 2\\r\\n\\r\\nok'\n")
        self.command = [str(word) for word in start(self.folder, self.port)]
        self.errors = open(self.folder / "errors", "wb")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, cwd=HERE, stdout=self.errors, stderr=self.errors, start_new_session=True)
        if not until(self.answers, 15):
            self.close()
            raise RuntimeError("does not answer")

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def headers(self, extra):
        """What it says of its time-out, to a client that sends these headers."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: 2\r\n\r\n{{}}".encode())
            head = s.recv(4096).split(b"\r\n\r\n")[0].decode(errors="replace")
        return next((line.split(":", 1)[1].strip() for line in head.split("\r\n") if line.lower().startswith("keep-alive:")), None)

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self):
        self.stop()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Run:
    def __init__(self, binary, port):
        url, kept = f"http://127.0.0.1:{port}/hook", "keep_alive = true\nmax_in_flight = 1"
        hooks = [(lane, url, kept, ["all", lane]) for lane in LANES] + [("closing", url, "keep_alive = false\nmax_in_flight = 1", ["all"])]
        self.daemon = Daemon(binary, hooks)

    def emit(self, n=1, data="{}"):
        db = sqlite3.connect(self.daemon.app, timeout=10)
        with db:
            db.executemany("INSERT INTO outbox (event, data) VALUES ('all', ?)", [(data,)] * n)
        db.close()

    def attempts(self):
        return self.daemon.log("SELECT count(*) FROM attempt")[0][0]

    def failed(self, since=0):
        return self.daemon.log(f"SELECT count(*) FROM attempt WHERE outcome <> 'delivered' AND id > {since}")[0][0]

    def send(self, n, seconds, data="{}"):
        """Writes events and waits for their attempts; how many of these failed."""
        before = self.attempts()
        self.emit(n, data)
        until(lambda: self.attempts() >= before + n * (WEBHOOKS + 1), seconds)
        return self.failed(before)

    def burst(self):
        return cell(self.send(20, 60), 20 * (WEBHOOKS + 1))

    def large(self):
        return cell(self.send(1, 20, '"' + "x" * 1_000_000 + '"'), WEBHOOKS + 1)

    def crossing(self, timeout):
        """Each webhook's events come at the server's time-out after its last, a few milliseconds before or behind it."""
        since, chance, due = self.attempts(), random.Random(1), [(time.monotonic(), lane, ROUNDS) for lane in LANES]
        db = sqlite3.connect(self.daemon.app, timeout=10, isolation_level=None)
        while due:
            at, lane, left = heapq.heappop(due)
            time.sleep(max(at - time.monotonic(), 0))
            db.execute("INSERT INTO outbox (event, data) VALUES (?, '{}')", (lane,))
            if left > 1:
                heapq.heappush(due, (time.monotonic() + timeout + chance.uniform(*SPREADS[left % 2]), lane, left - 1))
        db.close()
        until(lambda: self.attempts() >= since + ROUNDS * WEBHOOKS, 10)
        return cell(self.failed(since), ROUNDS * WEBHOOKS)


def cell(failed, total):
    return f"{total} sent" if failed == 0 else f"NO: {failed} of {total} failed"


def row(binary, start, timeout):
    server = Server(start)
    try:
        told = "always" if server.headers("") else "where asked" if server.headers("Connection: keep-alive\r\n") else "no"
        run = Run(binary, server.port)
        try:
            return [told, run.burst(), run.large(), run.crossing(timeout)]
        finally:
            run.daemon.close()
    finally:
        server.close()


def table(binary, tools, wanted):
    if not any(wanted(name) for name, *_ in servers(tools)):
        return 0
    print("\n| server | tells `Keep-Alive: timeout` | a burst | 1 MB | at its idle time-out |\n|---|---|---|---|---|")
    bad = 0
    for name, here, start, timeout in servers(tools):
        if not wanted(name):
            continue
        if not here:
            print(f"| {name} | SKIPPED: not installed | | | |", flush=True)
            continue
        try:
            cells = row(binary, start, timeout)
        except RuntimeError as error:
            cells = [f"SKIPPED: {error}", "", "", ""]
        bad += sum(c.startswith("NO") for c in cells)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return bad
