"""Standard Webhooks in Python: lines of secret, headers and body in, yes or no out."""
import importlib, json, sys

Webhook = importlib.import_module({"standardwebhooks": "standardwebhooks.webhooks", "svix": "svix.webhooks"}[sys.argv[1]]).Webhook
for line in sys.stdin:
    asked = json.loads(line)
    try:
        Webhook(asked["secret"]).verify(asked["body"].encode(), asked["headers"])
        print("yes", flush=True)
    except Exception as error:
        assert type(error).__name__ == "WebhookVerificationError", repr(error)
        print("no", flush=True)
