"""The libraries of Standard Webhooks as receivers: whether each accepts what webhooksd sends, and refuses it once changed.

One receiver keeps the requests as they came. Each library runs in a process of its own (`verifiers`) that is given a
secret, the headers and the body, and says yes or no. Plain secrets are given to the libraries as whsec_ and base64, which
is what they take every secret for.
"""
import base64, http.server, json, pathlib, shutil, subprocess, threading

from daemon import Daemon, has, until

HERE = pathlib.Path(__file__).resolve().parent / "verifiers"
KEY, OLD, PLAIN = b"thirty-two bytes of a known key!", b"five and twenty of another", b"a plain secret, 24 bytes or more"


def whsec(key):
    return "whsec_" + base64.b64encode(key).decode()


class Receiver:
    """Answers 200, but 503 to the first request of /own, and keeps path, headers and body."""

    def __init__(self):
        requests = self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_first = self.path == "/own" and not any(path == "/own" for path, *_ in requests)
                requests.append((self.path, dict(self.headers), body))
                self.send_response(503 if is_first else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def of(self, path):
        return [(headers, body) for at, headers, body in self.requests if at == path]


# Name, lines of its webhook, requests that are waited for, and the keys by which a receiver accepts each of them.
OWN = 'dialect = "standard-webhooks"\ninsecure_http = true\nsecret_file = "%s"'
BESIDE = '\nstandard_webhooks = { secret_file = "padded", previous_secret_file = "old" }'
LIFT = 'dialect = "openboxes-lift"\ninsecure_http = true\nsecret = "a vendor\'s"'
CASES = [
    ("own", OWN % "padded", 2, [KEY]),
    ("unpadded", OWN % "unpadded", 1, [KEY]),
    ("plain", OWN % "plain", 1, [PLAIN]),
    ("rotation", OWN % "padded" + '\nprevious_secret_file = "old"', 1, [KEY, OLD]),
    ("cms", 'secret = "a vendor\'s"' + BESIDE, 1, [KEY, OLD]),
    ("factory", 'dialect = "bold-factory"\ninsecure_http = true' + BESIDE, 1, [KEY, OLD]),
    ("lift", LIFT + BESIDE, 1, [KEY, OLD]),
    ("batch", LIFT + "\nbatch = {}" + BESIDE, 1, [KEY, OLD]),
]
DATA = json.dumps({"text": "für \u2028 \"all\"", "n": 1}, ensure_ascii=False)
COLUMNS = ["a retry", "without padding", "plain bytes", "old and new secret", "beside bold-cms", "bold-factory", "openboxes-lift", "a batch"]


class Sender(Daemon):
    def start(self):
        text = self.config.read_text()
        self.config.write_text('tenant = "acme"\n' + text if "tenant" not in text else text)
        for name, secret in [("padded", whsec(KEY) + "\n"), ("unpadded", whsec(KEY).rstrip("=")), ("plain", PLAIN.decode()), ("old", whsec(OLD))]:
            (self.folder / name).write_text(secret)
        super().start()


class Library:
    def __init__(self, command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def accepts(self, key, headers, body):
        asked = {"secret": whsec(key), "headers": {name.lower(): value for name, value in headers.items()}, "body": body.decode()}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().strip()
        assert said in ("yes", "no"), f"says {said!r}"
        return said == "yes"

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def libraries(tools):
    """Name, whether it is here, how its verifier is started."""
    python = tools / "venv/bin/python"
    yield "standardwebhooks 1.1.0 (PyPI)", True, [python, HERE / "verify.py", "standardwebhooks"]
    yield "svix 2.9.1 (PyPI)", True, [python, HERE / "verify.py", "svix"]
    yield "standardwebhooks 1.1.1 (npm)", has("node"), ["node", HERE / "verify.js", tools / "node", "standardwebhooks"]
    yield "svix 2.5.0 (npm)", has("node"), ["node", HERE / "verify.js", tools / "node", "svix"]
    yield "standardwebhooks 1.0.1 (crates.io)", has("cargo"), [tools / "rust/release/verify"]


def changed(headers, body):
    """What a request becomes where somebody on the way changes one thing of it."""
    yield headers, body + b" "
    for name, value in [("webhook-id", "evt_01jcn08c6f0000000000w38tw9"), ("webhook-timestamp", str(int(headers["webhook-timestamp"]) + 1)),
                        ("webhook-timestamp", str(int(headers["webhook-timestamp"]) - 360)), ("webhook-signature", "v1," + "A" * 43 + "=")]:
        yield {**headers, name: value}, body


def row(library, receiver):
    cells = []
    for name, _, count, keys in CASES:
        requests = receiver.of(f"/{name}")
        accepted = [library.accepts(key, headers, body) for headers, body in requests for key in keys]
        cells.append("yes" if all(accepted) and len(requests) >= count else f"NO: {accepted}")
    requests = [request for name, *_ in CASES for request in receiver.of(f"/{name}")]
    taken = sum(library.accepts(KEY, *other) for request in requests for other in changed(*request))
    taken += sum(library.accepts(b"a key that nobody signed with", *request) for request in requests)
    return [*cells, "refused" if not taken else f"NO: {taken} accepted"]


def table(binary, tools, wanted):
    if not any(wanted(name.split(" ")[0]) for name, *_ in libraries(tools)):
        return 0
    if has("cargo"):
        build = ["cargo", "build", "--quiet", "--release", "--manifest-path", HERE / "Cargo.toml", "--target-dir", tools / "rust"]
        subprocess.run(build, check=True)
    receiver = Receiver()
    daemon = Sender(binary, [(name, f"{receiver.url}/{name}", lines, ["*"]) for name, lines, *_ in CASES])
    try:
        print(daemon.cli("emit", "invoice.paid", DATA), end="", file=open("/dev/null", "w"))
        until(lambda: all(len(receiver.of(f"/{name}")) >= count for name, _, count, _ in CASES), 30)
        print("\n| library | " + " | ".join(COLUMNS) + " | changed on the way |\n|" + "---|" * (len(COLUMNS) + 2))
        bad = 0
        for name, here, command in libraries(tools):
            if not wanted(name.split(" ")[0]):
                continue
            if not here:
                print(f"| {name} | SKIPPED: not installed |" + " |" * len(COLUMNS), flush=True)
                continue
            library = Library(command)
            cells = row(library, receiver)
            library.close()
            bad += sum(cell.startswith("NO") for cell in cells)
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        return bad
    finally:
        daemon.close()
