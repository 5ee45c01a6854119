#!/usr/bin/env bash
# A secret of Standard Webhooks is written whsec_ and base64. The Python libraries take it as str or as bytes, by their
# types, and decode it only as str: as bytes, which is what open(file, "rb") and os.environb give, prefix and base64 are
# the key. Nothing is said when it is given; then each genuine request is refused, "No matching signature found", as if its
# sender had another secret. The library for npm refuses bytes at once, and the secret as text verifies in all of them.
#
# Meets: str and bytes as two forms of one argument.
# Seen on 2026-11-29 with standardwebhooks 1.1.0 and svix 2.9.1 (PyPI, Python 3.11), standardwebhooks 1.1.1 (npm).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit standardwebhooks@1.1.1
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check standardwebhooks==1.1.0 svix==2.9.1
cat > try.py <<'PY'
import base64, hashlib, hmac, time
import standardwebhooks.webhooks, svix.webhooks
key, body, now = b"thirty-two bytes of a known key!", '{"type":"invoice.paid"}', str(int(time.time()))
signature = hmac.new(key, f"evt_1.{now}.{body}".encode(), hashlib.sha256).digest()
headers = {"webhook-id": "evt_1", "webhook-timestamp": now, "webhook-signature": "v1," + base64.b64encode(signature).decode()}
secret = "whsec_" + base64.b64encode(key).decode()
for library in (standardwebhooks, svix):
    for given in (secret, secret.encode()):
        webhook = library.webhooks.Webhook(given)
        try:
            webhook.verify(body, headers)
            said = "genuine"
        except library.webhooks.WebhookVerificationError as error:
            said = str(error)
        print(f"{library.__name__} {type(given).__name__}: {said}")
PY
cat > try.cjs <<'JS'
const { Webhook } = require("standardwebhooks");
try {
  new Webhook(Buffer.from("whsec_dGhpcnR5LXR3byBieXRlcyBvZiBhIGtub3duIGtleSE="));
  console.log("npm bytes: taken");
} catch (error) {
  console.log(`npm bytes: ${error.message}`);
}
JS
{ venv/bin/python try.py; node try.cjs; } > said
cat said
expected='standardwebhooks str: genuine
standardwebhooks bytes: No matching signature found
svix str: genuine
svix bytes: No matching signature found
npm bytes: Expected secret to be of type string'
[[ $(cat said) == "$expected" ]] || { echo "changed"; exit 1; }
# Seen: standardwebhooks str: genuine
# Seen: standardwebhooks bytes: No matching signature found
# Seen: svix str: genuine
# Seen: svix bytes: No matching signature found
# Seen: npm bytes: Expected secret to be of type string
