"""Starts the scripted server of `sdk/conformance/server` as a process and calls its API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import urllib.parse
import urllib.request
from typing import Any, cast

from bus import ROOT, STOP_SECONDS, deno

PROGRAM = ROOT / "sdk/conformance/server/main.ts"


class ScenarioServer:
    """A running server; `stop` ends it."""

    def __init__(self) -> None:
        """Starts it on a free port."""
        flags = ["--no-prompt", "--allow-net=127.0.0.1", "--allow-read"]
        self._process = subprocess.Popen(
            [*deno(), "run", *flags, str(PROGRAM)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the scripted server did not start"
        self._url: str = json.loads(line)["url"]

    def stop(self) -> None:
        """Returns when it has exited. Neither `npx` nor npm's `deno` forwards the signal."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(STOP_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    async def begin(self, scenario: str) -> Run:
        """Plays a scenario."""
        begun = await self.ask("POST", f"/scenarios/{urllib.parse.quote(scenario, safe='')}")
        return Run(self, begun["id"], begun["url"])

    async def ask(self, method: str, path: str) -> dict[str, Any]:
        """The JSON of one answer. Raises if the server refuses the request."""

        def fetch() -> dict[str, Any]:
            request = urllib.request.Request(self._url + path, method=method)
            with urllib.request.urlopen(request) as response:
                return cast("dict[str, Any]", json.load(response))

        return await asyncio.to_thread(fetch)


class Run:
    """One scenario that the server runs."""

    def __init__(self, server: ScenarioServer, run_id: str, url: str) -> None:
        """`url` is where the client connects."""
        self._server = server
        self._path = f"/runs/{run_id}"
        self.url = url

    async def signal(self, name: str) -> None:
        """Reports that the client has reached this step."""
        await self._server.ask("POST", f"{self._path}/signals/{name}")

    async def over(self) -> dict[str, Any]:
        """Returns when the server's scripts have ended or one of them has failed."""
        return await self._server.ask("GET", f"{self._path}?until=over")

    async def report(self) -> dict[str, Any]:
        """What the server saw. The server then deletes the run."""
        return await self._server.ask("DELETE", self._path)
