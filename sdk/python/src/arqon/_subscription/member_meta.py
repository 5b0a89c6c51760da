"""This member's metadata in one room: the last accepted one, and changes not accepted yet.

It sends nothing: `subscriptions.py` sends SUBs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from arqon.errors import ArqonError, error_of

# The most queued changes of one room's metadata.
_UPDATES_MAX: Final = 256


@dataclass(eq=False)
class MetaUpdate:
    """A change that no Shield has accepted yet."""

    number: int
    """An ascending number: the last change wins."""
    meta: bytes
    taken: asyncio.Future[None]
    carried: bool = False
    """Whether an unanswered SUB contains it."""


@dataclass(frozen=True)
class CarriedMeta:
    """The metadata of one SUB."""

    number: int
    """The number of the change; 0: the initial metadata."""
    meta: bytes
    updates: tuple[MetaUpdate, ...] = ()
    """The changes that the answer settles."""


class MemberMeta:
    """The metadata of one room, as JSON; empty: none."""

    def __init__(self, meta: bytes) -> None:
        """`meta` is the metadata of the first SUB."""
        self._taken = CarriedMeta(0, meta)
        self._updates: list[MetaUpdate] = []
        self._number = 0
        self.standing = 0
        """The number of the metadata at the present session's Shield, once it has answered."""

    @property
    def newest(self) -> bytes:
        """The newest metadata, accepted or not."""
        return self._updates[-1].meta if self._updates else self._taken.meta

    @property
    def waits(self) -> bool:
        """Whether there are changes that no SUB has contained yet."""
        return any(not update.carried for update in self._updates)

    @property
    def lacking(self) -> bool:
        """Whether the present session's Shield lacks the newest metadata, if it has answered."""
        return self.waits or self.standing != self._taken.number

    def change(self, meta: bytes) -> asyncio.Future[None]:
        """Queues new metadata; done when a Shield has accepted it, or newer metadata."""
        # Changes whose caller was cancelled are dropped, unless they were sent.
        self._updates = [u for u in self._updates if u.carried or not u.taken.done()]
        if sum(not update.carried for update in self._updates) >= _UPDATES_MAX:
            raise error_of("too-many-pending", f"{_UPDATES_MAX} changes of metadata wait")
        self._number += 1
        update = MetaUpdate(self._number, meta, asyncio.get_running_loop().create_future())
        self._updates.append(update)
        return update.taken

    def carry(self, is_next: bool) -> CarriedMeta:
        """The newest metadata, for a SUB; on the next session, where a refusal is fatal, the last
        accepted one."""
        if is_next or not self._updates:
            return self._taken
        waiting = tuple(update for update in self._updates if not update.carried)
        for update in waiting:
            update.carried = True
        last = self._updates[-1]
        return CarriedMeta(last.number, last.meta, waiting)

    def take(self, carried: CarriedMeta) -> None:
        """Records that a Shield accepted it; another Shield may have accepted newer metadata."""
        if carried.number <= self._taken.number:
            return
        self._taken = CarriedMeta(carried.number, carried.meta)
        self._settle([u for u in self._updates if u.number <= carried.number], None)

    def keep(self, carried: CarriedMeta) -> None:
        """Queues these changes again."""
        for update in carried.updates:
            update.carried = False

    def refuse(self, carried: CarriedMeta, error: ArqonError) -> None:
        """Records that a Shield refused these changes: the previous or newer metadata stays."""
        self._settle([u for u in self._updates if u in carried.updates], error)

    def answered_late(self, carried: CarriedMeta, error: ArqonError | None) -> None:
        """Handles a late answer of the previous Shield."""
        if error is None:
            self.take(carried)
        elif error.reason == "connection-lost":
            self.keep(carried)
        else:
            self.refuse(carried, error)

    def is_new(self, carried: CarriedMeta) -> bool:
        """Whether no Shield has accepted it yet, nor newer metadata."""
        return carried.number > self._taken.number

    def end(self, error: ArqonError) -> None:
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
