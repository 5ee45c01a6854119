#!/usr/bin/env bash
# HTTP has three forms of a date, and who reads one has to take all (RFC 9110, 5.6.7). The third, asctime's, names no
# zone and means GMT. The retries of undici and axios-retry hand Retry-After to JavaScript's Date, which reads that form
# as local time: east of Greenwich the wait is over before it begins, and who is asked to wait comes back at once. On a
# machine in UTC, where such code is commonly tried, nothing is seen. urllib3 waits as it is asked to in every zone.
#
# Meets: the obsolete form of HTTP-date, and Date.parse's fallback to local time.
# Seen on 2026-11-29 with undici 7.16.0, axios 1.21.1 with axios-retry 4.5.0 (npm), Node.js 20.20.2; urllib3 2.5.0 (PyPI).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit undici@7.16.0 axios@1.21.1 axios-retry@4.5.0
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check urllib3==2.5.0
# Answers the first request of each path with a wait of 3 to 4 s, and says how long after it the second came.
cat > receiver.mjs <<'JS'
import http from "node:http";
const two = (n, pad = "0") => String(n).padStart(2, pad);
const asctime = (at) => {
  const [day, date, month, year, time] = at.toUTCString().replace(",", "").split(" ");
  return `${day} ${month} ${two(Number(date), " ")} ${time} ${year}`;
};
const first = new Map();
http.createServer((request, response) => {
  const began = first.get(request.url);
  if (began === undefined) {
    first.set(request.url, Date.now());
    const at = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3000);
    const value = request.url.endsWith("asctime") ? asctime(at) : at.toUTCString();
    response.writeHead(503, { "Retry-After": value }).end();
  } else {
    console.log(`${request.url.slice(1)}: ${Date.now() - began < 2500 ? "at once" : "as asked"}`);
    response.end();
  }
}).listen(0, "127.0.0.1", function () { console.error(this.address().port); });
JS
cat > ask.mjs <<'JS'
import axios from "axios";
import axiosRetry from "axios-retry";
import { Agent, RetryAgent, request } from "undici";
const base = `http://127.0.0.1:${process.argv[2]}/`;
axiosRetry(axios, { retries: 1, retryDelay: axiosRetry.exponentialDelay });
for (const form of ["fixdate", "asctime"]) {
  await axios.get(`${base}axios-retry ${form}`.replace(" ", "-"));
  const dispatcher = new RetryAgent(new Agent(), { maxRetries: 1 });
  const { body } = await request(`${base}undici-${form}`, { dispatcher });
  await body.dump();
}
process.exit(0);
JS
cat > ask.py <<'PY'
import sys, urllib3
retries = urllib3.Retry(1, status_forcelist=[503])
for form in ("fixdate", "asctime"):
    urllib3.PoolManager().request("GET", f"http://127.0.0.1:{sys.argv[1]}/urllib3-{form}", retries=retries)
PY
node receiver.mjs > said 2> port &
receiver=$!
trap 'kill $receiver; rm -rf "$folder"' EXIT
until [[ -s port ]]; do sleep 0.1; done
export TZ=Asia/Tokyo
node ask.mjs "$(cat port)"
venv/bin/python ask.py "$(cat port)"
sort said
expected='axios-retry-asctime: at once
axios-retry-fixdate: as asked
undici-asctime: at once
undici-fixdate: as asked
urllib3-asctime: as asked
urllib3-fixdate: as asked'
[[ $(sort said) == "$expected" ]] || { echo "changed"; exit 1; }
# Seen: axios-retry-asctime: at once
# Seen: axios-retry-fixdate: as asked
# Seen: undici-asctime: at once
# Seen: undici-fixdate: as asked
# Seen: urllib3-asctime: as asked
# Seen: urllib3-fixdate: as asked
