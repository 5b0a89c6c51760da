"""Decides what a client does after its connection ended or was refused. Pure.

It uses the close code (`CLOSES`), the last error before it, and the Shield's HTTP answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from arqon.errors import ArqonError, error_from_wire, error_of
from arqon.errors_gen import CLOSES, ERRORS
from arqon.message import json_of

_HOPELESS: Final = frozenset({1002, 1003, 1007, 1010})
_SPREAD_MS_MAX: Final = 600_000
_BODY_BYTES_MAX: Final = 65_536
_WAIT_MS_MAX: Final = 600_000


@dataclass(frozen=True)
class Reaction:
    """What the connection does next."""

    reconnect: bool
    """False: no retry."""
    error: ArqonError | None
    """None: the program closed it."""
    floor_ms: int = 0
    """Wait at least this long."""
    spread_ms: int = 0
    """Instead of the back-off, wait a random time up to this; 0: use the back-off."""
    new_token: bool = False
    """The present token is invalid: request a new one first."""


def spread_of(reason: str) -> int:
    """N of the close reason `restart;spread_ms=N`, in ms; 0 for other reasons."""
    found = re.search(r"(?:^|;)\s*spread_ms=([0-9]{1,9})(?:;|\Z)", reason)
    return 0 if found is None else min(int(found[1]), _SPREAD_MS_MAX)


def _describe(code: int, reason: str) -> str:
    name = f" {CLOSES[code].name}" if code in CLOSES else ""
    return f"closed with {code}{name}" + (f": {reason}" if reason else "")


def _close_error(code: int, reason: str) -> ArqonError:
    named = {
        1008: "too-many-protocol-errors",
        4401: "token-expired",
        4403: "banned",
        4429: "slow-consumer",
    }
    if code in named:
        return error_of(named[code])
    too_large = code in (1009, 4413)
    return error_of("frame-too-large" if too_large else "connection-lost", _describe(code, reason))


def close_reaction(code: int, reason: str, last_error: ArqonError | None) -> Reaction:
    """After an open connection ended with `code` and `reason`.

    `last_error` is the ERR frame directly before the close, if any: it is more precise than the
    code (`refresh-mismatch` must not reconnect, 4401 may).
    """
    named_error = last_error if last_error is not None and last_error.entry.close == code else None
    if named_error is None and reason in ERRORS and ERRORS[reason].close == code:
        named_error = error_of(reason)
    error = named_error or _close_error(code, reason)
    if code == 1000:
        return Reaction(False, None)
    if named_error is not None and named_error.entry.client == "never-retry":
        return Reaction(False, error)
    rule = CLOSES.get(code)
    if rule is None:
        return Reaction(False, error) if code in _HOPELESS else _again(error)
    if not rule.reconnect:
        return Reaction(False, error)
    spread_ms = spread_of(reason) if code == 1012 else 0
    return _again(error, spread_ms, rule.client == "refresh-token")


def refusal_reaction(error: ArqonError) -> Reaction:
    """The reaction to an upgrade that was refused or not answered."""
    if error.entry.client == "never-retry":
        return Reaction(False, error)
    return _again(error, 0, error.entry.client == "refresh-token")


def _again(error: ArqonError, spread_ms: int = 0, new_token: bool = False) -> Reaction:
    return Reaction(True, error, error.retry_after_ms, spread_ms, new_token)


def problem_of(body: bytes) -> dict[str, Any]:
    """The members of a problem body (RFC 9457); empty for any other body."""
    try:
        parsed: Any = json_of(body) if len(body) <= _BODY_BYTES_MAX else None
    except (ValueError, RecursionError):
        parsed = None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}


def wait_ms_of(problem: dict[str, Any], headers: Mapping[str, str]) -> int:
    """The wait that an answer requests, by its problem body or its headers; 0: none."""
    # The body has milliseconds: whole seconds would synchronise reconnects.
    wait_ms, header = problem.get("retry_after_ms"), headers.get("retry-after", "")
    if isinstance(wait_ms, (int, float)) and wait_ms > 0:
        return math.ceil(min(wait_ms, _WAIT_MS_MAX))
    if re.fullmatch(r"\d{1,6}", header):
        return min(int(header) * 1_000, _WAIT_MS_MAX)
    try:
        until = parsedate_to_datetime(header)
        # By the server's clock.
        wait = until - parsedate_to_datetime(headers.get("date", ""))
        return min(max(int(wait.total_seconds() * 1_000), 1_000), _WAIT_MS_MAX)
    except (TypeError, ValueError):
        return 0


def upgrade_error(status: int, headers: Mapping[str, str], body: bytes | None) -> ArqonError:
    """The exception for a refused upgrade: its problem body (RFC 9457) and `Retry-After`.

    An answer that is not from a Shield (a proxy's 502) is `unreachable`, except for codes in the
    table of reasons.
    """
    problem = problem_of(body or b"")
    retry_after_ms = wait_ms_of(problem, headers)
    reason, detail = problem.get("reason"), problem.get("detail")
    if not isinstance(reason, str):
        if status not in (401, 403, 429):
            text = f"the upgrade was answered with HTTP {status}"
            return error_of("unreachable", text, retry_after_ms=retry_after_ms)
        reason = ""
    text = detail if isinstance(detail, str) else ""
    return error_from_wire(status, reason, text, retry_after_ms)
