"""`client.ts` in Python: one client of a bus that is being upgraded, by the SDK on PYTHONPATH."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.request import urlopen

import arqon

PAUSE_S = 0.01
TIMEOUT_MS = 60_000
PER_WRITE = 5


def fetch(url: str) -> str:
    with urlopen(url) as answer:
        return str(answer.read().decode())


async def main(url: str, token: str, name: str) -> None:
    received: list[int | str] = []
    refused: list[str] = []
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def done(what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask()
        except arqon.CommandTimeout:
            # A Brain that takes over on a loaded machine may be later than a command waits.
            return await done(what, ask)
        except arqon.ArqonError as error:
            refused.append(f"{what}: {error.reason}: {error.message}")
            return None

    async def read(room: arqon.Room) -> None:
        async for message in room:
            one = message.signal.reason if message.signal else int(message.raw)
            received.append(one)
            if one == -1:
                return

    backoff = {"base_ms": 20, "max_ms": 200}
    source: dict[str, Any] = {"token": token}
    if token.startswith("http"):
        # Instead of a token: where tokens are, each for a few seconds.
        source = {"get_token": lambda _: asyncio.to_thread(fetch, token)}
    async with arqon.connect(url, **source, backoff=backoff) as bus:
        async with bus.room(f"kept-{name}") as room:
            reading = asyncio.create_task(read(room))
            state = bus.room(f"state-{name}").state

            async def publish(n: int) -> None:
                ids: dict[str, Any] = {"message_id": f"{name}.{n}", "timeout_ms": TIMEOUT_MS}
                await done(f"publish {n}", partial(room.publish, "n", str(n), **ids))

            n = 0
            while not ended.done():
                await publish(n)
                if n % PER_WRITE == 0:
                    ids: dict[str, Any] = {"command_id": f"{name}.{n}", "timeout_ms": TIMEOUT_MS}
                    await done(f"set {n}", partial(state.set, "n", n, **ids))
                    value = await done(f"get {n}", partial(state.get, "n", timeout_ms=TIMEOUT_MS))
                    if value is not None and value.value != n:
                        refused.append(f"get {n}: {value.value}")
                    print(json.dumps({"acknowledged": n + 1}), flush=True)
                n += 1
                await asyncio.wait([ended], timeout=PAUSE_S)
            await publish(-1)
            await reading
            print(
                json.dumps({"acknowledged": n, "received": received, "refused": refused}),
                flush=True,
            )


asyncio.run(main(*sys.argv[1:]))
