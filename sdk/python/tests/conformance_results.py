"""Which cases of `sdk/conformance` passed in this run, and the file that stores them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from bus import ROOT

SCENARIOS: Final = ROOT / "sdk/conformance/scenarios"
RESULTS: Final = ROOT / "sdk/conformance/results/python.json"


@dataclass
class Passed:
    """One run. `write`: it writes its results to the file instead of comparing them."""

    vectors: dict[str, int] = field(default_factory=dict[str, int])
    """Cases by file."""
    scenarios: dict[str, dict[str, list[str]]] = field(
        default_factory=dict[str, dict[str, list[str]]]
    )
    """Names by transport and feature."""
    write: bool = False


PASSED: Final = Passed()


def load_scenarios() -> list[dict[str, Any]]:
    """All of them, file by file."""
    files = sorted(SCENARIOS.iterdir())
    texts = [path.read_text(encoding="utf-8") for path in files]
    return [scenario for text in texts for scenario in json.loads(text)["scenarios"]]
