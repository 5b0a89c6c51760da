"""Two real Shields on one NATS for a test, started by `tests/two_shields.ts`."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from typing import Any

from bus import ROOT, deno

READY_SECONDS = 90
STOP_SECONDS = 60
FLAGS = ["--allow-net", "--allow-read", "--allow-write", "--allow-run", "--allow-env"]


class TwoShields:
    """`async with TwoShields("ann", "bob") as shields:`; each user has a token."""

    def __init__(self, *users: str) -> None:
        self._users = users
        self.ports: list[int] = []
        self.tokens: dict[str, str] = {}

    async def __aenter__(self) -> TwoShields:
        program = str(ROOT / "tests/two_shields.ts")
        self._process: Process = await asyncio.create_subprocess_exec(
            *deno(), "run", "--no-prompt", *FLAGS, program, *self._users,
            cwd=ROOT, stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        ready = await self._line(READY_SECONDS)
        self.ports, self.tokens = ready["ports"], ready["tokens"]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def stop(self, number: int) -> int:
        """Sends SIGTERM. Returns its exit code when it has exited."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"stop {number}\n".encode())
        code = (await self._line(STOP_SECONDS))["code"]
        assert isinstance(code, int)
        return code

    async def _line(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        if not line:
            raise RuntimeError("the Shields ended; their log is above")
        parsed: dict[str, Any] = json.loads(line)
        return parsed
