"""What others see of this member in one room: the metadata that a Shield took last, and changes
that no Shield has taken yet. Sends nothing: which SUB goes when is `subscriptions.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from arqon.errors import ArqonError, error_of

# Changes of one room's metadata that may wait.
_UPDATES_MAX: Final = 256


@dataclass(eq=False)
class MetaUpdate:
    """A change that no Shield has taken yet."""

    number: int
    """Grows: the last one wins."""
    meta: bytes
    taken: asyncio.Future[None]
    carried: bool = False
    """A SUB that is not answered yet has it."""


@dataclass(frozen=True)
class CarriedMeta:
    """The metadata of one SUB."""

    number: int
    """That of the change; 0: what the subscription began with."""
    meta: bytes
    updates: tuple[MetaUpdate, ...] = ()
    """Those who learn of the answer."""


class MemberMeta:
    """The metadata of one room, as JSON; empty is none."""

    def __init__(self, meta: bytes) -> None:
        """What the first SUB says."""
        self._taken = CarriedMeta(0, meta)
        self._updates: list[MetaUpdate] = []
        self._number = 0
        self.standing = 0
        """The number of what the Shield of the present session has, once that has answered."""

    @property
    def newest(self) -> bytes:
        """What it is to be, whether a Shield has taken it or not."""
        return self._updates[-1].meta if self._updates else self._taken.meta

    @property
    def waits(self) -> bool:
        """There are changes that no SUB has carried yet."""
        return any(not update.carried for update in self._updates)

    @property
    def lacking(self) -> bool:
        """The Shield of the present session lacks something, if it has answered at all."""
        return self.waits or self.standing != self._taken.number

    def change(self, meta: bytes) -> asyncio.Future[None]:
        """Other metadata; done when a Shield has taken it, or something newer."""
        # Who no longer waits has given up on the answer; the newest goes all the same.
        self._updates = [u for u in self._updates if u.carried or not u.taken.done()]
        if sum(not update.carried for update in self._updates) >= _UPDATES_MAX:
            raise error_of("too-many-pending", f"{_UPDATES_MAX} changes of metadata wait")
        self._number += 1
        update = MetaUpdate(self._number, meta, asyncio.get_running_loop().create_future())
        self._updates.append(update)
        return update.taken

    def carry(self, is_next: bool) -> CarriedMeta:
        """For a SUB: the newest. The next session, where a refusal ends all, gets the taken one."""
        if is_next or not self._updates:
            return self._taken
        waiting = tuple(update for update in self._updates if not update.carried)
        for update in waiting:
            update.carried = True
        last = self._updates[-1]
        return CarriedMeta(last.number, last.meta, waiting)

    def take(self, carried: CarriedMeta) -> None:
        """A Shield has it. It may be older than what another one took meanwhile."""
        if carried.number <= self._taken.number:
            return
        self._taken = CarriedMeta(carried.number, carried.meta)
        self._settle([u for u in self._updates if u.number <= carried.number], None)

    def keep(self, carried: CarriedMeta) -> None:
        """These wait again."""
        for update in carried.updates:
            update.carried = False

    def refuse(self, carried: CarriedMeta, error: ArqonError) -> None:
        """A Shield does not take these: it is as before them, or as after newer ones."""
        self._settle([u for u in self._updates if u in carried.updates], error)

    def answered_late(self, carried: CarriedMeta, error: ArqonError | None) -> None:
        """The answer of a Shield that was left."""
        if error is None:
            self.take(carried)
        elif error.reason == "connection-lost":
            self.keep(carried)
        else:
            self.refuse(carried, error)

    def is_new(self, carried: CarriedMeta) -> bool:
        """No Shield has taken it yet, nor anything newer."""
        return carried.number > self._taken.number

    def end(self, error: ArqonError) -> None:
        """Nobody takes any longer."""
        self._settle(self._updates, error)

    def _settle(self, updates: list[MetaUpdate], error: ArqonError | None) -> None:
        self._updates = [update for update in self._updates if update not in updates]
        for update in updates:
            if update.taken.done():
                continue
            if error is None:
                update.taken.set_result(None)
            else:
                update.taken.set_exception(error.again())
