"""Two buses (each Shield and Brain) on one `nats-server`, for the verification suite. No tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

from bus import Bus, deno  # noqa: E402

__all__ = ["Bus", "Cluster", "cluster"]


class Cluster:
    """Two buses on one NATS."""

    def __init__(self, nats_url: str) -> None:
        self.nats_url = nats_url
        self.buses = [Bus("--nats", nats_url) for _ in range(2)]

    def admin(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> Any:
        """A call of the admin API of the first bus; its JSON."""
        bus = self.buses[0]
        request = urllib.request.Request(
            f"{bus.admin_url}/v1/{path}",
            data=body,
            method=method,
            headers={
                "Authorization": f"Bearer {bus.token('root', role='admin')}",
                "Content-Type": kind,
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def deploy(self, module: str, **binding: object) -> None:
        """Uploads a built policy and deploys it for tenant `default`."""
        wasm = (ROOT / "policies/build" / module).read_bytes()
        digest = self.admin("PUT", "policies/modules", wasm, "application/wasm")["sha256"]
        body = {"sha256": digest, "tenant": "default", **binding}
        answer = self.admin("POST", "policies/deploy", json.dumps(body).encode())
        assert answer["here"]["state"] == "active", answer

    def stop(self) -> None:
        """Ends the buses."""
        for bus in self.buses:
            bus.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("nats")
    found = subprocess.run(
        [*deno(), "run", "-A", str(ROOT / "tasks/nats_server.ts")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    program = found.stdout.strip().splitlines()[-1]
    flags = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(folder / "store")]
    with subprocess.Popen([program, *flags], stderr=subprocess.PIPE, text=True) as server:
        try:
            started = Cluster(_nats_url(server))
            try:
                yield started
            finally:
                started.stop()
        finally:
            server.terminate()


def _nats_url(server: subprocess.Popen[str]) -> str:
    """Where it listens, once it says that it is ready. Nobody reads what it says later."""
    assert server.stderr is not None
    url = ""
    for line in server.stderr:
        found = re.search(r"client connections on (\S+)", line)
        url = url if found is None else f"nats://{found[1]}"
        if "Server is ready" in line:
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return url
    raise RuntimeError("nats-server does not start")
