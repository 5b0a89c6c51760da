"""Starts a real bus for a test: `tasks/dev/dev.ts` as its own process, ended with its scope."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from waits import pace

ROOT = Path(__file__).resolve().parents[3]
CONFIG = Path(__file__).with_name("bus.toml")
DENO_PACKAGE = "deno@2.9.6"
READY_SECONDS = 90
STOP_SECONDS = 20


@cache
def deno() -> list[str]:
    """The command that runs Deno: from PATH, otherwise from npm's package, without npx."""
    found = shutil.which("deno")
    if found is None:
        asked = ["npx", "-y", DENO_PACKAGE, "eval", "console.log(Deno.execPath())"]
        found = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return [found]


class Bus:
    """A running development bus."""

    def __init__(self, *args: str, config: Path | None = None, port: int = 0) -> None:
        """Starts it and waits until it is ready."""
        program = [str(ROOT / "tasks/dev/dev.ts"), "--json", "--no-watch", "--port", str(port)]
        flags = ["--ops-port", "0", "--admin-port", "0", "--config", str(config or CONFIG)]
        command = [*deno(), "run", "--allow-run", "--allow-read", *program, *flags, *args]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._log: list[str] = []
        threading.Thread(target=self._drain, daemon=True).start()
        timer = threading.Timer(READY_SECONDS, self._process.kill)
        timer.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        timer.cancel()
        try:
            ready: dict[str, Any] = json.loads(line)
        except ValueError:
            self.stop(signal.SIGKILL)
            raise RuntimeError(f"no bus; it printed {line!r} and:\n{self.log}") from None
        self.url: str = ready["url"]
        self.ops_url: str = ready["ops_url"]
        self.admin_url: str = ready["admin_url"]
        self.port = int(self.url.split(":")[2].split("/")[0])
        self.http_url = f"http://127.0.0.1:{self.port}"
        self._key = json.loads((ROOT / ".arqon/dev-key.json").read_text())

    @property
    def log(self) -> str:
        """The end of its stderr."""
        return "".join(self._log)

    def token(
        self, user: str = "tester", *, role: str = "user", ttl_seconds: int = 3_600, **claims: Any
    ) -> str:
        """A token of tenant `default`."""
        body = {
            "iss": "arqon-dev",
            "aud": "arqon",
            "sub": user,
            "tenant_id": "default",
            "role": role,
            "exp": int(time.time()) + ttl_seconds,
            **claims,
        }
        key = jwt.PyJWK(self._key).key
        return jwt.encode(body, key, algorithm="RS256", headers={"kid": self._key["kid"]})

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stops it. Returns when it and its children have exited."""
        if self._process.poll() is None:
            os.kill(self._process.pid, how)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                pipe.close()

    def _drain(self) -> None:
        assert self._process.stderr is not None
        try:
            for line in self._process.stderr:
                self._log = [*self._log[-500:], line]
        except ValueError:
            return


class CuttableProxy:
    """A TCP proxy before a bus. A test can cut its connections and make it refuse new ones.

    It delays data by `delay_seconds` in both directions, and changes what a client sends.
    """

    def __init__(
        self, port: int, delay_seconds: float = 0, change: Callable[[bytes], bytes] = bytes
    ) -> None:
        self.target = port
        self.delay_seconds = delay_seconds
        self._change = change
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refuse = False

    async def __aenter__(self) -> CuttableProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Resets every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if self.refuse:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, far_writer}
        try:
            there = self._pipe(reader, far_writer, self._change)
            await asyncio.gather(there, self._pipe(far_reader, writer, bytes))
        finally:
            self._writers -= {writer, far_writer}
            self._tasks.discard(task)

    async def _pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes],
    ) -> None:
        try:
            while data := await reader.read(65_536):
                await pace(self.delay_seconds)
                writer.write(change(data))
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
