"""Debian's servers that ask who a request is from: nginx and Apache, for the whole host and, Apache, in a Location.

For each: a certificate that the server trusts, none, and one that nobody there has signed. What is turned away is to have
the class `client certificate`. In a Location Apache asks once it has the request, which no client of TLS 1.3 has to answer
and no safe one of 1.2 does: there everybody is turned away, and the words are to name the Location.
"""
import os, pathlib, shutil, signal, socket, sqlite3, subprocess, tempfile

from daemon import Daemon, has, until
from proxies import certificate
from receivers import free_port

WHO = ("trusted", "none", "stranger")
NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} ssl; ssl_protocols {protocol}; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client on; location / {{ return 200 ok; }} }} }}
"""
APACHE = """ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
SSLEngine on
SSLProtocol -all +{protocol}
SSLCertificateFile {folder}/cert.pem
SSLCertificateKeyFile {folder}/key.pem
SSLCACertificateFile {folder}/ca.pem
{asks}
<Location />
  RewriteEngine On
  RewriteRule .* - [R=200,L]
</Location>
"""
WHOLE = "SSLVerifyClient require"
LOCATION = "<Location /hook>\n  SSLVerifyClient require\n</Location>"


def servers():
    """Name, whether it is here, its version, its program, and the rows: where it asks, its configuration, what is filled in."""
    nginx = [("the whole host, " + name, NGINX, {"protocol": name.replace(" ", "v")}) for name in ("TLS 1.2", "TLS 1.3")]
    yield "nginx", has("nginx"), ["nginx", "-v"], lambda f: ["nginx", "-p", f, "-c", f / "conf", "-e", f / "error.log"], nginx
    apache = [(f"{where}, {name}", APACHE, {"protocol": name.replace(" ", "v"), "asks": asks})
              for where, asks in (("the whole host", WHOLE), ("a Location", LOCATION)) for name in ("TLS 1.2", "TLS 1.3")]
    yield "apache", has("apache2"), ["apache2", "-v"], lambda f: ["apache2", "-D", "FOREGROUND", "-f", f / "conf"], apache


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def clients(folder):
    """An authority that the server trusts, a client of it, and one of nobody."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-subj", "/CN=authority", "-out", folder / "ca.pem", "-keyout", folder / "ca.key")
    openssl("req", "-x509", *new, "-subj", "/CN=client", "-addext", "basicConstraints=critical,CA:false", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
            "-out", folder / "trusted.pem", "-keyout", folder / "trusted.key")
    openssl("req", "-x509", *new, "-subj", "/CN=nobody", "-out", folder / "stranger.pem", "-keyout", folder / "stranger.key")


def told(row, names_location):
    """What a row of the log says, and what is wrong with it."""
    outcome, status, kind, words = row
    if kind != "client certificate":
        return f"NO: {row}"
    if ("in a Location" in words) != names_location:
        return f"NO: {words}"
    return ("status " + str(status) if status else "broken off") + (", and where it has to stand" if names_location else "")


def cells_of(binary, start, text, values, in_location):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="webhooksd-matrix-mutual-"))
    os.chmod(folder, 0o777)
    port = free_port()
    pair = certificate(folder)
    clients(folder)
    (folder / "conf").write_text(text.format(port=port, folder=folder, **values))
    command = [str(word) for word in start(folder)]
    server = subprocess.Popen(command, cwd=folder, stdout=open(folder / "said", "wb"), stderr=subprocess.STDOUT, start_new_session=True)
    daemon = None
    try:
        if not until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 15):
            raise RuntimeError("does not listen: " + (folder / "said").read_text()[-200:])
        own = lambda who: "" if who == "none" else f'client_cert_file = "{folder}/{who}.pem"\nclient_key_file = "{folder}/{who}.key"\n'
        hooks = [(who, f"https://127.0.0.1:{port}/hook", own(who) + f'ca_file = "{pair[0]}"', ["e"]) for who in WHO]
        daemon = Daemon(binary, hooks)
        db = sqlite3.connect(daemon.app, timeout=10)
        with db:
            db.execute("INSERT INTO outbox (event, data) VALUES ('e', '{}')")
        db.close()
        until(lambda: daemon.log("SELECT count(DISTINCT webhook) FROM log")[0][0] == len(WHO), 20)
        cells = []
        for who in WHO:
            rows = daemon.log(f"SELECT outcome, status, class, error FROM log WHERE webhook = '{who}' ORDER BY id LIMIT 1")
            if not rows:
                cells.append("NO: no attempt")
            elif who == "trusted" and not in_location:
                cells.append("delivered" if rows[0][0] == "delivered" else f"NO: {rows[0]}")
            else:
                cells.append(told(rows[0], in_location))
        return cells
    finally:
        if daemon:
            daemon.close()
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        shutil.rmtree(folder, ignore_errors=True)


def table(binary, tools, wanted):
    if not wanted("mutual"):
        return 0
    print("\n| asks for a client certificate | where | one it trusts | none | one of nobody |\n|---|---|---|---|---|")
    bad = 0
    for name, here, asks, start, rows in servers():
        if not here:
            print(f"| {name} | SKIPPED: not installed | | | |", flush=True)
            continue
        said = subprocess.run(asks, capture_output=True, text=True)
        version = (said.stdout + said.stderr).split("\n")[0].split(": ")[-1]
        for where, text, values in rows:
            try:
                cells = cells_of(binary, start, text, values, "Location" in where)
            except RuntimeError as error:
                cells = [f"NO: {error}", "", ""]
            bad += sum("NO: " in c for c in cells)
            print(f"| {version} | {where} | " + " | ".join(cells) + " |", flush=True)
    return bad
