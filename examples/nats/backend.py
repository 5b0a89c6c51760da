"""A backend on the NATS of the bus: publishes to a durable room, or follows it without a hole.

NATS_URL=nats://backend:…@127.0.0.1:4222 ARQON_TOKEN=… python backend.py publish orders 10
NATS_URL=… ARQON_TOKEN=… python backend.py follow orders 0
"""

import asyncio
import contextlib
import json
import os
import sys
import uuid
from typing import Any, cast

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

TENANT = os.environ.get("ARQON_TENANT", "default")
TOKEN = os.environ.get("ARQON_TOKEN", "")
# The room is read at least this often, in seconds: a lost connection can lose the live message.
READ_SECONDS = 5


class Refused(Exception):
    """The bus refused the request, with its code and its reason."""

    def __init__(self, code: int, reason: str) -> None:
        """Keeps the code, which tells `ask` whether the error can be temporary."""
        super().__init__(f"{code} {reason}")
        self.code = code


async def ask(bus: Client, room: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    """Sends a request to the bus. Repeats it after an error that can be temporary."""
    subject = f"api.t.{TENANT}.r.{room}.{verb}"
    headers = {"authorization": f"Bearer {TOKEN}"}
    while True:
        try:
            answer = await bus.request(
                subject, json.dumps(body).encode(), timeout=5, headers=headers
            )
            head = answer.headers or {}
            code = int(head.get("Nats-Service-Error-Code", 0))
            if code == 0:
                return cast(dict[str, Any], json.loads(answer.data))
            raise Refused(code, head.get("Nats-Service-Error", ""))
        except Refused as error:
            if error.code < 500 and error.code not in (408, 429):
                raise
        except (NatsError, TimeoutError):
            pass
        await asyncio.sleep(0.2)


async def publish(bus: Client, room: str, count: int) -> None:
    """A repeated message has the same id, so the room stores it once."""
    run = uuid.uuid4()
    for n in range(1, count + 1):
        await ask(
            bus,
            room,
            "publish",
            {"type": "order", "data": {"n": n}, "message_id": f"{run}-{n}"},
        )


async def follow(bus: Client, room: str, after: int) -> None:
    """The live subject only signals a new message; the content is read from the room's log."""
    bell = asyncio.Event()

    async def ring(_message: object) -> None:
        bell.set()

    await bus.subscribe(f"in.t.{TENANT}.r.{room}", cb=ring)
    await bus.flush()
    while True:
        bell.clear()
        more = True
        while more:
            page = await ask(bus, room, "history", {"after": after, "limit": 100})
            for message in page["messages"]:
                after = message["offset"]
                print(after, json.dumps(message["data"], separators=(",", ":")), flush=True)
            more = page["more"]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(bell.wait(), READ_SECONDS)


async def main() -> None:
    """Connects, then runs the command of the command line."""
    verb, room, number = sys.argv[1:4]
    bus = await nats.connect(
        os.environ["NATS_URL"],
        # Its account may receive this inbox only, and not the answers to others.
        inbox_prefix="_INBOX_BACKEND",
        max_reconnect_attempts=-1,
    )
    await (publish if verb == "publish" else follow)(bus, room, int(number))
    await bus.drain()


asyncio.run(main())
