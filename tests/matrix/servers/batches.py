"""Receivers in Python that take arrays of events: `fastapi` by a model, `flask` by hand and naming what it refuses.

Each notes in the file OUT what it took, an id a line; it takes no event whose data has a `bad`. The signature is
checked before anything else. `single` is the same model without the list: it takes one event, and never an array.
"""
import hashlib, hmac, os
from typing import Any

import fastapi, flask, pydantic

SECRET = b"a-secret-that-both-know"


def is_signed(body, header):
    return hmac.compare_digest("sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest(), header or "")


def take(ids):
    with open(os.environ["OUT"], "a") as out:
        out.writelines(f"{one}\n" for one in ids)


class Data(pydantic.BaseModel):
    n: int
    bad: None = None


class Event(pydantic.BaseModel):
    id: str
    type: str
    timestamp: str
    tenantId: str
    data: Data


app = fastapi.FastAPI()


async def signed(request: fastapi.Request):
    if not is_signed(await request.body(), request.headers.get("x-webhook-signature")):
        raise fastapi.HTTPException(500, "wrong signature")


@app.post("/many", dependencies=[fastapi.Depends(signed)])
def many(events: list[Event]):
    take(event.id for event in events)


@app.post("/single", dependencies=[fastapi.Depends(signed)])
def single(event: Event):
    take([event.id])


wsgi = flask.Flask(__name__)


@wsgi.post("/named")
def named():
    body: bytes = flask.request.get_data()
    if not is_signed(body, flask.request.headers.get("X-Webhook-Signature")):
        return "wrong signature", 500
    events: list[dict[str, Any]] = flask.json.loads(body)
    good = [event["id"] for event in events if "bad" not in event["data"]]
    take(good)
    return {"failures": [{"id": event["id"], "error": "bad"} for event in events if "bad" in event["data"]]}
