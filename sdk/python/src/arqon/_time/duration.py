"""A length of time as programs say it: seconds, a timedelta, or text such as `"10m"`."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final, TypeAlias

Duration: TypeAlias = float | str | timedelta
_TEXT: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(name: str, value: Duration) -> float:
    """Seconds, at least 0. Raises ValueError, which calls it `name`, for what is none.

    >>> seconds_of("since", "10m"), seconds_of("since", timedelta(hours=1)), seconds_of("wait", 0.5)
    (600.0, 3600.0, 0.5)
    """
    seconds = math.nan
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        found = _TEXT.fullmatch(value)
        if found is not None:
            seconds = float(int(found[1]) * _UNITS[found[2]])
    else:
        seconds = float(value)
    if seconds >= 0:
        return seconds
    expected = 'seconds, a timedelta, or text such as "30s", "10m", "2h", "7d"'
    raise ValueError(f"{name} is {value!r}; expected {expected}")
