"""The chat examples as people run them: both languages in one room on a real bus, through pipes.

Run with pytest from the root: `python -m pytest -c sdk/python/pyproject.toml tests/examples`; it is
part of `deno task test:python`, whose environment has the SDK.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import arqon

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

from bus import Bus, deno  # noqa: E402

PATIENCE_SECONDS = 60
TYPESCRIPT = [*deno(), "run", "--allow-net", str(ROOT / "examples/chat/typescript/chat.ts")]
PYTHON = [sys.executable, str(ROOT / "examples/chat/python/chat.py")]
LANGUAGES = [pytest.param(TYPESCRIPT, id="typescript"), pytest.param(PYTHON, id="python")]


class Chatter:
    """Somebody at a terminal: types lines and reads what the program prints."""

    def __init__(self, program: list[str], *args: str) -> None:
        """Starts the program."""
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._over = False
        self.process = subprocess.Popen(
            [*program, *args],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Chatter:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reading.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._over = True
            self._more.notify_all()

    def types(self, text: str) -> None:
        """A line and Enter."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def sees(self, *wanted: str) -> None:
        """Returns when all of these lines are there; fails when they do not come."""
        with self._more:
            here = self._more.wait_for(
                lambda: self._over or all(line in self.lines for line in wanted), PATIENCE_SECONDS
            )
            missing = [line for line in wanted if line not in self.lines]
        assert here, f"{missing} never came; there is {self.lines}"
        assert not missing, f"it ended without {missing}; there is {self.lines}"

    def leaves(self, expected: int = 0) -> list[str]:
        """The input ends; everything that the program has printed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_SECONDS) == expected, self.lines
        self._reading.join()
        return self.lines


@pytest.fixture(scope="module")
def bus() -> Iterator[Bus]:
    started = Bus()
    yield started
    started.stop()


def test_two_languages_exchange_messages_and_a_later_reader_gets_them(bus: Bus) -> None:
    def join(program: list[str], nick: str) -> Chatter:
        return Chatter(program, bus.url, bus.token(nick), "durable-mixed", nick)

    with join(TYPESCRIPT, "ada") as ada, join(PYTHON, "bob") as bob:
        ada.sees("* ada is here", "* bob is here")
        bob.sees("* ada is here", "* bob is here")
        ada.types("hello")
        bob.sees("ada@ada> hello")
        bob.types("/me waves")
        ada.sees("* bob@bob waves")
        for one in (ada, bob):
            one.types("/who")
            one.sees("* here: ada, bob")
            one.types("/what")
            one.sees("* commands: /who, /me TEXT and /quit")
        bob.types("/quit")
        assert bob.process.wait(PATIENCE_SECONDS) == 0
        ada.sees("* bob has left")
        ada.types("alone")
        ada.sees("ada@ada> alone")
        with join(PYTHON, "eve") as eve, join(TYPESCRIPT, "dan") as dan:
            for one, nick in ((eve, "eve"), (dan, "dan")):
                one.sees("* ada is here", "* eve is here", "* dan is here")
                shown = [line for line in one.lines if "@" in line]
                assert shown == ["ada@ada> hello", "* bob@bob waves", "ada@ada> alone"], nick
            assert "* dan is here" in dan.leaves()
            eve.sees("* dan has left")
            assert "* dan has left" in eve.leaves()


@pytest.mark.parametrize("program", LANGUAGES)
def test_text_of_others_is_shown_and_not_executed(bus: Bus, program: list[str]) -> None:
    room = f"plain-{program is PYTHON}"
    with (
        Chatter(program, bus.url, bus.token("ada"), room, "ada") as ada,
        arqon.connect_sync(bus.url, token=bus.token("mal")) as mallory,
    ):
        ada.sees("* ada is here")
        mallory.publish(room, "chat", {"nick": "\x1b]0;x\x07", "text": "a\x1b[2Jb\nc"})
        mallory.publish(room, "chat", b"\xff{", content_type="application/json")
        mallory.publish(room, "chat", {"nick": 7})
        ada.sees("* mal sent something else", "7@mal> ")
        assert " ]0;x @mal> a [2Jb c" in ada.leaves()


@pytest.mark.parametrize("program", LANGUAGES)
def test_a_wrong_token_and_a_wrong_command_line_are_one_line(bus: Bus, program: list[str]) -> None:
    with Chatter(program, bus.url, bus.token(ttl_seconds=-60)) as late:
        lines = late.leaves(expected=1)
    assert len(lines) == 1
    assert lines[0].startswith("chat: ")
    assert "expired" in lines[0].lower()
    with Chatter(program, bus.url) as short:
        short.process.wait(PATIENCE_SECONDS)
        short._reading.join()
    assert len(short.lines) == 1
    assert short.lines[0].startswith("usage: chat.")
