"""Visible values of a room as one moment has them, of pages and messages that tell changes.

What cannot be applied is said, never guessed. When to read is `watched_values.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

Value: TypeAlias = str | bytes
"""A value: its text, or its bytes where they are none."""
Changes: TypeAlias = dict[str, Value | None]
"""What was written by key; None: deleted."""
Outcome: TypeAlias = Literal["more", "again", "wait", "whole"]
"""More pages are to be read, one has to begin again, changes are still to come, or all is there."""

# Changes that wait for pages; with more the pages are read again.
_WAITING_MAX: Final = 65_536


def value_of(wire: Any) -> Value:
    """A value of the wire.

    >>> value_of("x"), value_of({"base64": "AP8="})
    ('x', b'\\x00\\xff')
    """
    return wire if isinstance(wire, str) else base64.b64decode(wire["base64"])


class ValuesView:
    """The values below a prefix."""

    def __init__(self, prefix: str) -> None:
        """Without any."""
        self.prefix = prefix
        self.version: int | None = None
        """The entry whose values these are; None: none yet."""
        self.values: dict[str, Value] = {}
        self._scope = ""
        self._heard = 0
        """The highest entry that a message was about, of `_heard_scope`."""
        self._heard_scope = ""
        self._parts: Mapping[str, Any] | None = None
        self._pages: list[Mapping[str, Any]] | None = None
        self._waiting: list[Mapping[str, Any]] = []
        self._waiting_changes = 0

    def begin(self) -> None:
        """Pages are read from the first one on; what is there stays until they are whole."""
        self._pages, self._waiting, self._waiting_changes = [], [], 0

    def page(self, page: Mapping[str, Any]) -> Outcome:
        """Takes the page behind the last one."""
        pages = self._pages = self._pages if self._pages is not None else []
        pages.append(page)
        if page["scope"] != pages[0]["scope"]:
            return "again"
        # A previous owner may answer with stale values.
        # In another scope entries may have begun anew.
        if page["scope"] == self._scope and page["version"] < (self.version or 0):
            return "again"
        return "more" if "next" in page else self.settle()

    def settle(self) -> Outcome:
        """Whether pages and changes are whole by now."""
        pages = self._pages or []
        version = min(page["version"] for page in pages)
        if self._waiting_changes > _WAITING_MAX:
            return "again"
        read = {key: value_of(value) for page in pages for key, value in page["values"]}
        for told in self._waiting:
            if told["to"] <= version:
                continue
            if told["after"] > version or told["scope"] != pages[0]["scope"]:
                return "again"
            # A newer page has them already, and what comes up to its version says the same.
            for key, value in self._changes(told, 0).items():
                _put(read, key, value)
            version = told["to"]
        if version < max(page["version"] for page in pages):
            return "wait"
        # Earlier messages were about later entries than a previous owner knows.
        scope = pages[0]["scope"]
        if version < self._heard and scope in (self._scope, self._heard_scope):
            return "again"
        self._scope, self.version, self.values = scope, version, read
        self._pages, self._waiting = None, []
        return "whole"

    def hear(self, part: Mapping[str, Any]) -> Changes | Literal["again"]:
        """Takes a message; returns what changed now, or "again" when it cannot be applied."""
        told = self._whole(part)
        if told is None:
            return {}
        heard = self._heard if told["scope"] == self._heard_scope else 0
        self._heard, self._heard_scope = max(heard, told["to"]), told["scope"]
        if self._pages is not None:
            self._waiting_changes += len(told["changes"])
            if self._waiting_changes <= _WAITING_MAX:
                self._waiting.append(told)
            return {}
        version = self.version or 0
        if told["scope"] != self._scope or told["to"] > version < told["after"]:
            return "again"
        if told["to"] <= version:
            return {}
        changes = self._changes(told, version)
        for key, value in changes.items():
            _put(self.values, key, value)
        self.version = told["to"]
        return changes

    def _changes(self, told: Mapping[str, Any], version: int) -> Changes:
        return {
            key: None if value is None else value_of(value)
            for entry, key, value in told["changes"]
            if entry > version and key.startswith(self.prefix)
        }

    def _whole(self, part: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The message whose last part this is; None: more are to come.

        One without its first parts goes on nowhere.
        """
        before, self._parts = self._parts, None
        number, more, told = part.get("part", 1), part.get("more", False), part
        if number > 1:
            place = ("after", "to")
            follows = before is not None and all(before[name] == part[name] for name in place)
            if before is None or not follows or before.get("part") != number - 1:
                return None if more else {**part, "after": part["to"], "changes": []}
            told = {**part, "changes": [*before["changes"], *part["changes"]]}
        if not more:
            return told
        self._parts = told
        return None


def _put(values: dict[str, Value], key: str, value: Value | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
