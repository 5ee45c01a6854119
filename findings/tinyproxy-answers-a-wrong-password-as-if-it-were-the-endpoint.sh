#!/usr/bin/env bash
# A proxy that wants to know who asks says 407 with Proxy-Authenticate (RFC 9110, 15.5.8), so that whoever asks can tell
# the proxy's refusal from the endpoint's 401. tinyproxy says 407 to a request without a password, and to one with a wrong
# password 401 with WWW-Authenticate, which is an endpoint's question. Through CONNECT a client still knows whose answer it
# is. In absolute form (http) it is taken for the endpoint's: urllib3 hands it on as a plain answer, and a sender of
# webhooks blames, retries or switches off the wrong party. What gives it away is the header Server alone.
#
# Meets: basic authentication of tinyproxy, and clients that tell proxy and endpoint apart by 407 and 401.
# Seen on 2026-11-29 with tinyproxy-bin 1.11.1-2.1+deb12u1 (Debian 12), urllib3 2.5.0 (PyPI).
# Needs Debian 12's sources in apt, and python3 with venv; no root.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq tinyproxy-bin=1.11.1-2.1+deb12u1 2>/dev/null
dpkg-deb -x tinyproxy-bin_*.deb .
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check urllib3==2.5.0
read -r proxy endpoint < <(python3 -c 'import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[x.getsockname()[1] for x in s])')
printf 'Port %s\nListen 127.0.0.1\nTimeout 60\nBasicAuth kept close-by\n' "$proxy" >conf
usr/bin/tinyproxy -d -c conf >/dev/null 2>&1 &
python3 -m http.server --bind 127.0.0.1 "$endpoint" >/dev/null 2>&1 &
cat >ask.py <<'PY'
import socket, sys, time, urllib3

proxy, endpoint = sys.argv[1:]
for port in (proxy, endpoint):
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                break
        time.sleep(0.05)
for name, user in (("right", "kept:close-by"), ("none", None), ("wrong", "kept:far-off")):
    headers = urllib3.make_headers(proxy_basic_auth=user) if user else {}
    pool = urllib3.ProxyManager(f"http://127.0.0.1:{proxy}", proxy_headers=headers, retries=False)
    answer = pool.request("GET", f"http://127.0.0.1:{endpoint}/")
    asks = [h for h in ("Proxy-Authenticate", "WWW-Authenticate") if h in answer.headers]
    print(f"{name}: {answer.status}, {asks[0] if asks else 'no challenge'}, Server {answer.headers.get('Server', '-').split('/')[0]}")
PY
said=$(venv/bin/python ask.py "$proxy" "$endpoint")
printf '%s\n' "$said"
diff - <(printf '%s\n' "$said") <<'SEEN'
right: 200, no challenge, Server SimpleHTTP
none: 407, Proxy-Authenticate, Server tinyproxy
wrong: 401, WWW-Authenticate, Server tinyproxy
SEEN
echo "as it was seen"
