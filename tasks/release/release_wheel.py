"""What `tasks/release/release_wheel.ts` runs with the wheel that is about to be published.

Arguments: the bus's URL, a token, the version. Publishes and receives itself, then prints "ok".
"""

import asyncio
import importlib.metadata
import sys

import arqon


async def main(url: str, token: str, version: str) -> None:
    """Talks to the bus as a user would."""
    # PyPI's form of a version has no dash: 1.0.0-rc.1 is 1.0.0rc1 there.
    if arqon.__version__ != version:
        sys.exit(f"arqon.__version__ is {arqon.__version__}, not {version}")
    installed = importlib.metadata.version("arqon-sdk")
    if installed != version.replace("-rc.", "rc"):
        sys.exit(f"the wheel is version {installed}, not {version}")
    async with arqon.connect(url, token=token) as bus, bus.room("release") as room:
        await room.publish("check", {"text": "hello"})
        async for message in room:
            if message.data != {"text": "hello"}:
                sys.exit(f"heard {message.data!r}")
            break
    print("ok")


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
