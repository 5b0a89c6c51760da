"""Two buses (each Shield and Brain) on one `nats-server`, for the verification suite. No tests."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

from bus import Bus, deno  # noqa: E402

__all__ = ["Bus", "Cluster", "cluster"]

PORTS_SECONDS = 30


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
    server = subprocess.Popen(
        [program, *flags, "--ports_file_dir", str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        started = Cluster(_nats_url(folder))
        try:
            yield started
        finally:
            started.stop()
    finally:
        server.terminate()
        server.wait(PORTS_SECONDS)


def _nats_url(folder: Path) -> str:
    end = time.monotonic() + PORTS_SECONDS
    while time.monotonic() < end:
        for ports in folder.glob("*.ports"):
            text = ports.read_text()
            if text:
                return str(json.loads(text)["nats"][0])
        time.sleep(0.05)
    raise RuntimeError("nats-server wrote no ports file")
