"""How long to wait before the next attempt: exponential with full jitter. Nothing waits here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

# As of the TypeScript SDK, whose timers take no longer wait.
_MS_MAX: Final = 2_147_483_647


@dataclass(frozen=True)
class Backoff:
    """Bounds of the waits: 250 ms at first, then doubled up to 15 s."""

    base_ms: int = 250
    """Ceiling of the first wait."""
    max_ms: int = 15_000
    """No wait is longer."""

    def __post_init__(self) -> None:
        """Checks. Raises ValueError."""
        for name in ("base_ms", "max_ms"):
            value: object = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 <= cast("float", value) <= _MS_MAX:
                raise ValueError(f"backoff.{name} is {value!r}; expected 0 to {_MS_MAX}")


def backoff_of(given: object) -> Backoff:
    """The bounds, also of a dict such as the TypeScript SDK takes. Raises ValueError."""
    if isinstance(given, Backoff):
        return given
    if not isinstance(given, dict):
        raise ValueError(f"backoff is {given!r}; expected Backoff(base_ms=…, max_ms=…)")
    bounds = cast("dict[str, Any]", given)
    for name, value in bounds.items():
        if name not in ("base_ms", "max_ms"):
            raise ValueError(f"backoff.{name} is {value!r}; expected base_ms or max_ms")
    return Backoff(**bounds)


def backoff_delay_ms(attempt: int, backoff: Backoff, random: Callable[[], float]) -> int:
    """The wait before attempt number `attempt` (0: the first after a failure).

    `random` gives numbers in [0, 1). Full jitter, uniform from 0 to the ceiling, spreads a crowd
    that lost the same node best.

    >>> [backoff_delay_ms(n, Backoff(), lambda: 0.5) for n in (0, 1, 2, 20)]
    [125, 250, 500, 7500]
    """
    ceiling_ms = min(backoff.max_ms, backoff.base_ms * 2 ** min(attempt, 31))
    return int(random() * ceiling_ms)
