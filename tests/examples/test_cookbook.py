"""The exactly-once consumer of the cookbook books each payment once, however often it is killed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import arqon

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

from bus import Bus  # noqa: E402

PROGRAM = str(ROOT / "examples/cookbook/exactly_once.py")
ROOM = "durable-payments"
MESSAGES = 200
# Each run is killed after this many lines; the last one runs to the end.
KILLED_AFTER = (1, 17, 40)


# The bus of the SDK's tests recovers 40 messages; the consumer begins with more.
CONFIG = '[server]\nhost = "127.0.0.1"\n[[rooms]]\nroom = "durable-*"\ndurable = true\n'


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    config = tmp_path_factory.mktemp("bus") / "bus.toml"
    config.write_text(CONFIG)
    started = Bus(config=config)
    yield started
    started.stop()


def test_each_payment_is_booked_once_however_often_the_consumer_is_killed(
    bus: Bus, tmp_path: Path
) -> None:
    file = tmp_path / "books.sqlite"
    wanted: dict[str, int] = {}
    with arqon.connect_sync(bus.url, token=bus.token()) as peer:
        for n in range(MESSAGES):
            customer = f"c{n % 7}"
            peer.publish(ROOM, "paid", {"customer": customer, "amount": n})
            wanted[customer] = wanted.get(customer, 0) + n
        end = int(peer.history(ROOM, reverse=True, limit=1).offset)
    for lines in (*KILLED_AFTER, None):
        consumer = subprocess.Popen(
            [sys.executable, PROGRAM, bus.url, bus.token(), ROOM, str(file)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert consumer.stdout is not None
        for count, line in enumerate(consumer.stdout, 1):
            if count == lines or int(line) == end:
                break
        consumer.kill()
        consumer.communicate()
    with sqlite3.connect(file) as db:
        assert dict(db.execute("select customer, amount from paid")) == wanted
