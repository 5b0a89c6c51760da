"""Where a client stands, without a socket: in every order of live and stored messages, answers,
GAPs, drops, moves and slow loops nothing is lost or repeated without a GAP.

The same world as in the test of the TypeScript SDK. What follows from each step stands in
`sdk/conformance/vectors/positions.json`.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import arqon
from arqon._subscription.position import Place
from arqon._subscription.replay import Reading

SEQUENCES = 1_500
STEPS_MAX = 150
PAGE = 3
BUFFER = 6
RECOVERED = 8
Stored: TypeAlias = tuple[int, int]
"""An offset, and a number that no other message has."""
Item: TypeAlias = "int | str"
CALM = {
    "publish": 15,
    "serve": 15,
    "arrive": 30,
    "read": 13,
    "take": 27,
    "drop": 6,
    "move": 3,
    "sub": 3,
}
FAULTS = {**CALM, "move": 6, "trim": 2, "restart": 1, "put back": 1, "replace": 3}


@dataclass(eq=False)
class Session:
    """A connection: what each side has said, and the other has not read yet."""

    asked: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    said: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    subscribed: bool = False
    """The bus lets the client hear the room here."""
    accepted: bool = False
    """The client has heard so."""


class Bus:
    """The log of one room, as its bus speaks of it."""

    def __init__(self) -> None:
        self.log: list[Stored] = []
        self.published = 0
        self.lost: set[int] = set()
        """Numbers that an older copy of the log does not have."""
        self.losses = 0
        """What the bus has told is missing."""
        self._offset = self._trimmed = 0
        self._epoch = 1
        self._lives: dict[str, int] = {}
        """Up to which offset earlier epochs are the same log."""

    def publish(self, step: int, sessions: list[Session]) -> None:
        self._offset += step
        stored = self._offset, self.published
        self.published += 1
        self.log.append(stored)
        for session in sessions:
            if session.subscribed:
                session.said.append(("message", *stored))

    def trim(self) -> None:
        if self.log:
            self._trimmed = self.log.pop(0)[0]

    def restart(self, missing: int) -> None:
        """Another life begins; if some are missing, with an older copy of the log."""
        if missing:
            self.lost |= {number for _, number in self.log[-missing:]}
            del self.log[-missing:]
            self._offset = self.log[-1][0] if self.log else self._trimmed
        self._lives = {e: min(last, self._offset) for e, last in self._lives.items()}
        self._lives[f"e{self._epoch}"] = self._offset
        self._epoch += 1

    def replace(self, sessions: list[Session]) -> None:
        """Another log takes its place while it is heard."""
        self._offset = self._trimmed = 0
        self.log, self._lives = [], {}
        self._epoch += 1
        self.losses += 1
        for session in sessions:
            if session.subscribed:
                session.said.append(("gap", "epoch-changed"))

    def serve(self, session: Session) -> bool:
        """Answers the next question of a session."""
        if not session.asked:
            return False
        what, asked = session.asked.pop(0)
        offset, epoch = self._offset, f"e{self._epoch}"
        if what == "page":
            behind = [stored for stored in self.log if stored[0] > asked]
            page = behind[:PAGE], offset, epoch, len(behind) > PAGE
            session.said.append(("page", *page))
        else:
            self._subscribe(session, asked, offset, epoch)
        return True

    def _subscribe(
        self, session: Session, asked: arqon.Position | None, offset: int, epoch: str
    ) -> None:
        session.subscribed = True
        if asked is None:
            session.said.append(("ack", asked, offset, {"epoch": epoch}))
            return
        missed = [stored for stored in self.log if stored[0] > asked.offset]
        reason = None
        if asked.epoch != epoch and asked.offset > self._lives.get(asked.epoch, -1):
            reason = "epoch-changed"
        elif asked.offset > offset:
            reason = "offset-ahead"
        elif asked.offset < self._trimmed:
            reason = "history-trimmed"
        elif len(missed) > RECOVERED:
            reason = "too-many"
        answer = {"epoch": epoch, "recovered": reason is None, "reason": reason}
        session.said.append(("ack", asked, offset, answer))
        if reason is None:
            session.said += [("message", *stored) for stored in missed]
        else:
            self.losses += 1


class Client:
    """One client with one loop, which reads when a test says so."""

    def __init__(self, bus: Bus, reads: bool) -> None:
        self.bus = bus
        self.place = Place(None, no_echo=False)
        self.place.reading = reads
        self.present = Session()
        self.next: Session | None = None
        self.heard: list[Item] = []
        """What the loop has taken: numbers of messages, and "gap"."""
        self.overflows = 0
        self._buffer: list[Item] = []
        self._full = False
        self._reading = Reading(self.place, 0, kept=False) if reads else None
        self._page: tuple[list[Stored], int, str] | None = None
        self._asked = False
        self._due = True
        self.send(self.present)

    @property
    def sessions(self) -> list[Session]:
        return [self.present] if self.next is None else [self.present, self.next]

    def send(self, session: Session) -> None:
        session.asked.append(("sub", self.place.asked(session)))

    def drop(self) -> None:
        self.present, self.next, self._asked = Session(), None, False
        self.send(self.present)

    def move(self) -> None:
        if self.next is None:
            self.next = Session()
            self.send(self.next)
            return
        # What was asked on the old session and not answered is asked again on the new one.
        self.present, self.next, self._asked = self.next, None, False
        self._complete(self.present)

    def arrive(self, session: Session) -> bool:
        """Takes the next thing that came on a session."""
        if not session.said:
            return False
        kind, *said = session.said.pop(0)
        if kind == "ack":
            session.accepted = True
            if self.place.accepted(session, *said) is not None:
                self._push("gap")
            self._complete(session)
        elif kind == "message":
            if self.place.follows(session) and self.place.deliver(said[0]):
                self._push(said[1])
        elif kind == "gap":
            if self.place.gap(session, said[0]):
                self._push("gap")
            self._complete(session)
        elif session is self.present:
            self._take(*said)
        return True

    def read(self) -> bool:
        """Reads the history on: asks for a page, or gives one message of it to the loop."""
        if self._reading is None or self._asked:
            return False
        if self._page is None:
            self.present.asked.append(("page", self._reading.after))
            self._asked = True
            return True
        messages, offset, epoch = self._page
        if messages and len(self._buffer) * 2 >= BUFFER:
            self._due = True
            return False
        if messages:
            stored = messages.pop(0)
            if self.place.deliver(stored[0]):
                self._push(stored[1])
        if not messages:
            self._page = None
            if not self._due:
                self.place.read(offset, epoch, more=False)
                self._end()
        return True

    def take(self) -> bool:
        """The loop takes something."""
        if not self._buffer and not self._full:
            return False
        if self._buffer:
            self.heard.append(self._buffer.pop(0))
        else:
            self._full = False
            self.heard.append("gap")
        return True

    def _take(self, messages: list[Stored], offset: int, epoch: str, more: bool) -> None:
        page = [
            arqon.Message("r", offset=stored[0], headers={"X-Twist-ID": f"m{stored[1]}"})
            for stored in messages
        ]
        assert self._reading is not None
        self._asked, self._due, self._page = False, more, (messages, offset, epoch)
        if not self._reading.take(arqon.History(page, offset, epoch, more)):
            self._end()

    def _end(self) -> None:
        self._reading = self._page = None
        for session in self.sessions:
            self._complete(session)

    def _complete(self, session: Session) -> None:
        if session.accepted and self.place.asked(session) is not None:
            self.send(session)

    def _push(self, item: Item) -> None:
        if len(self._buffer) >= BUFFER:
            self._full = True
            self.overflows += 1
            return
        self._buffer += ["gap", item] if self._full else [item]
        self._full = False


def settle(client: Client) -> None:
    """Lets everything that was said arrive, with a loop that keeps up."""
    moved = True
    while moved:
        while client.take():
            pass
        turns = [(client.bus.serve(one), client.arrive(one)) for one in client.sessions]
        moved = any([client.read(), client.take(), *(any(turn) for turn in turns)])


def play(client: Client, what: str, number: int) -> None:
    bus, sessions = client.bus, client.sessions
    session = sessions[number % len(sessions)]
    if what == "publish":
        bus.publish(number, sessions)
    elif what == "serve":
        bus.serve(session)
    elif what == "arrive":
        client.arrive(session)
    elif what == "sub":
        if client.present.accepted:
            client.send(client.present)
    elif what == "trim":
        bus.trim()
    elif what == "replace":
        bus.replace(sessions)
    elif what in ("restart", "put back"):
        bus.restart(0 if what == "restart" else number)
        client.drop()
    else:
        getattr(client, what)()


def check(client: Client, begins_anywhere: bool) -> None:
    """Numbers rise one by one, but behind a GAP."""
    following, gap, bus = 0, begins_anywhere, client.bus
    for item in client.heard:
        if isinstance(item, int):
            assert item >= following, f"{item} after {following - 1}"
            while following < item and following in bus.lost:
                following += 1
            assert gap or item == following, f"{item} without {following}"
            following = item + 1
        gap = item == "gap"
    assert following == bus.published
    if bus.losses + client.overflows == 0:
        assert "gap" not in client.heard


def test_in_whatever_order_it_comes_nothing_is_lost_or_repeated_without_a_gap() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(SEQUENCES):
        chance = random.Random(seed)
        bus, reads = Bus(), chance.random() < 0.5
        for _ in range(chance.randrange(9) if reads else 0):
            bus.publish(1, [])
        client = Client(bus, reads)
        if not reads:
            settle(client)
        weights = CALM if seed % 2 else FAULTS
        steps = chance.choices([*weights], [*weights.values()], k=chance.randrange(STEPS_MAX))
        try:
            for what in steps:
                play(client, what, chance.randrange(1, 4))
            settle(client)
            bus.publish(1, client.sessions)
            settle(client)
            # The history begins with what is kept.
            check(client, reads and not {"trim", "replace"}.isdisjoint(steps))
        except AssertionError as error:
            raise AssertionError(f"{error}; seed {seed}: {steps}, {client.heard}") from error
        outcomes["recovered"] += client.place.recovered is True
        if len(client.heard) > 8:
            outcomes["gap" if "gap" in client.heard else "read" if reads else "clean"] += 1
    assert all(outcomes[name] > 100 for name in ("recovered", "gap", "read", "clean")), outcomes
