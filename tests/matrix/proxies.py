"""Debian's proxies between a webhook and its endpoint: squid, tinyproxy, privoxy, each with a user where it knows users.

For each: https through CONNECT and http in absolute form, over how many connections ten events come, a wrong password, an
endpoint that the proxy is not to let through, and one where nobody listens. What is the proxy's fault is to have the class
`proxy`, and no status where the proxy says which answers are its own.
"""
import http.server, os, pathlib, shutil, signal, socket, sqlite3, ssl, subprocess, tempfile, threading

from daemon import Daemon, has, until
from receivers import free_port

os.environ["PATH"] += ":/usr/sbin"

SQUID = """http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
access_log none
cache deny all
coredump_dir {folder}
shutdown_lifetime 1 seconds
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/users
acl known proxy_auth REQUIRED
acl forbidden port {forbidden}
http_access deny forbidden
http_access allow known
http_access deny all
"""
TINYPROXY = """Port {port}
Listen 127.0.0.1
Timeout 60
BasicAuth kept close-by
Filter "{folder}/filter"
FilterURLs On
"""
PRIVOXY = """listen-address 127.0.0.1:{port}
confdir {folder}
logdir {folder}
templdir /etc/privoxy/templates
actionsfile own.action
keep-alive-timeout 60
connection-sharing 0
"""


def proxies():
    """Name, whether it is here, its version, what it is started with, its files, and whether it knows users."""
    apr1 = lambda: subprocess.run(["openssl", "passwd", "-apr1", "close-by"], capture_output=True, text=True, check=True).stdout
    yield "squid", has("squid"), ["squid", "--version"], ["squid", "-N", "-f", "conf"], {"conf": SQUID, "users": lambda: "kept:" + apr1()}, True
    yield "tinyproxy", has("tinyproxy"), ["tinyproxy", "-v"], ["tinyproxy", "-d", "-c", "conf"], {"conf": TINYPROXY, "filter": "127.0.0.1:{forbidden}\n"}, True
    yield "privoxy", has("privoxy"), ["privoxy", "--version"], ["privoxy", "--no-daemon", "conf"], {"conf": PRIVOXY, "own.action": "{{+block{{not for us}}}}\n127.0.0.1:{forbidden}\n"}, False


class Endpoint:
    """Answers 200 and counts connections; with a certificate it speaks TLS."""

    def __init__(self, certificate=None):
        endpoint, self.connections, self.requests = self, 0, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                endpoint.connections += 1
                super().setup()

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def certificate(folder):
    files = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=endpoint", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


def outcome(daemon, name):
    """Status, class and words of the newest attempt."""
    until(lambda: daemon.log(f"SELECT 1 FROM log WHERE webhook = '{name}'"), 20)
    rows = daemon.log(f"SELECT status, class, error FROM log WHERE webhook = '{name}' ORDER BY id DESC LIMIT 1")
    return rows[0] if rows else (None, None, "no attempt")


def its_own(found):
    """How it is told that the proxy did not let us through."""
    status, kind, words = found
    if kind == "proxy":
        return f"class proxy: {words.split(', for ')[0].split(' answered ')[-1]}"
    return f"status {status}, noted as perhaps its own" if status else f"NO: {found}"


def row(binary, command, files, users):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="webhooksd-matrix-proxy-"))
    os.chmod(folder, 0o777)
    port, nobody, forbidden = free_port(), free_port(), free_port()
    for name, text in files.items():
        text = text() if callable(text) else text.format(port=port, forbidden=forbidden, folder=folder)
        (folder / name).write_text(text)
    pair = certificate(folder)
    tls, plain = Endpoint(pair), Endpoint()
    proxy = subprocess.Popen(command, cwd=folder, stdout=open(folder / "said", "wb"), stderr=subprocess.STDOUT, start_new_session=True)
    daemon = None
    try:
        if not until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20):
            raise RuntimeError("does not listen")
        through = f'proxy = "http://127.0.0.1:{port}"'
        right = through + ('\nproxy_secret_file = "secret"' if users else "") + "\nmax_in_flight = 1\nkeep_alive = true"
        wrong = through + '\nproxy_secret_file = "cert.key"'
        url = "{}://127.0.0.1:{}/hook".format
        hooks = [("tls", url("https", tls.port), right + f'\nca_file = "{pair[0]}"', ["e"]), ("plain", url("http", plain.port), right, ["e"])]
        hooks += [(f"{name}-{at}", url(kind, to), right, ["once"])
                  for name, kind in (("tls", "https"), ("plain", "http")) for at, to in (("forbidden", forbidden), ("nobody", nobody))]
        if users:
            hooks += [("tls-wrong", url("https", tls.port), wrong + f'\nca_file = "{pair[0]}"', ["once"]), ("plain-wrong", url("http", plain.port), wrong, ["once"])]
        daemon = Daemon(binary, hooks, secret="kept:close-by\n", more={"cert.key": "another:far-off\n"})
        db = sqlite3.connect(daemon.app, timeout=10)
        with db:
            db.executemany("INSERT INTO outbox (event, data) VALUES (?, '{}')", [("e",)] * 10 + [("once",)])
        db.close()
        delivered = lambda name: daemon.log(f"SELECT count(*) FROM log WHERE webhook = '{name}' AND outcome = 'delivered'")[0][0]
        until(lambda: delivered("tls") == delivered("plain") == 10, 20)
        cells = []
        for name, endpoint in (("tls", tls), ("plain", plain)):
            good = delivered(name)
            cells.append(f"10 over {endpoint.connections}" if endpoint.requests == good == 10 else f"NO: {good} delivered, {endpoint.requests} came")
        for what in ("wrong", "forbidden", "nobody"):
            both = [its_own(outcome(daemon, f"{name}-{what}")) for name in ("tls", "plain")] if what != "wrong" or users else ["it knows no users"]
            cells.append("; ".join(dict.fromkeys(both)))
        return cells
    finally:
        if daemon:
            daemon.close()
        try:
            os.killpg(proxy.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        shutil.rmtree(folder, ignore_errors=True)


def table(binary, tools, wanted):
    if not any(wanted(name) for name, *_ in proxies()):
        return 0
    print("\n| proxy | https, connections | http, connections | a wrong password | not to be let through | nobody listens |\n|---|---|---|---|---|---|")
    bad = 0
    for name, here, asks, command, files, users in proxies():
        if not wanted(name):
            continue
        if not here:
            print(f"| {name} | SKIPPED: not installed | | | | |", flush=True)
            continue
        version = subprocess.run(asks, capture_output=True, text=True).stdout.split("\n")[0]
        try:
            cells = row(binary, command, files, users)
        except RuntimeError as error:
            cells = [f"SKIPPED: {error}", "", "", "", ""]
        bad += sum("NO: " in c for c in cells)
        print(f"| {version} | " + " | ".join(cells) + " |", flush=True)
    return bad
