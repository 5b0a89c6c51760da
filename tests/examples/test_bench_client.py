"""The Python client of `deno task bench sdk` does what it is told; its figures mean nothing here.

The one on Deno, and what is made of figures: `bench/sdk/sdk_test.ts`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import arqon

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

from bus import Bus  # noqa: E402

PATIENCE_SECONDS = 60
WARMUP, MESSAGES, SIZE_BYTES = 20, 300, 100


@pytest.fixture(scope="module")
def bus() -> Iterator[Bus]:
    started = Bus()
    yield started
    started.stop()


@pytest.mark.parametrize("part", ["raw", "decoded", "sdk"])
@pytest.mark.parametrize("load", ["receive single", "publish"])
def test_a_client_counts_what_it_was_told(bus: Bus, part: str, load: str) -> None:
    room_id = f"bench-{part}-{load[:3]}"
    plan = {
        "url": bus.url,
        "token": bus.token(),
        "room_id": room_id,
        "part": part,
        "load": load,
        "warmup": WARMUP,
        "messages": MESSAGES,
        "size_bytes": SIZE_BYTES,
    }
    client = subprocess.Popen(
        [sys.executable, str(ROOT / "bench/sdk/client.py"), json.dumps(plan)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.stdout is not None
        assert json.loads(client.stdout.readline()) == {"ready": True}
        if load == "receive single":
            with arqon.connect_sync(bus.url, token=bus.token()) as publisher:
                for _ in range(WARMUP + MESSAGES):
                    publisher.publish(room_id, "bench", bytes(SIZE_BYTES))
        result = json.loads(client.stdout.readline())
        assert client.wait(PATIENCE_SECONDS) == 0
    finally:
        client.kill()
        client.communicate()
    assert 0 < result["messages"] <= MESSAGES
    assert result["cpu_us"] > 0
    assert result["wall_us"] > 0
