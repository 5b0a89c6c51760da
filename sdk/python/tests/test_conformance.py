"""`sdk/conformance` against this SDK: every vector, every scenario, and the committed results.

After a change there: `python sdk/python/tests/test_conformance.py` runs all of it and writes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from bus import ROOT
from conformance_results import PASSED, RESULTS, load_scenarios
from scenario_driver import TRANSPORTS, Transport, run_scenario
from scenario_server import ScenarioServer
from vector_driver import VECTOR_RUNNERS, VECTORS, VECTORS_SHA256, Case

from arqon._session import http_socket
from arqon.errors_gen import CLOSES, ERRORS

ALL_SCENARIOS: Final = load_scenarios()


@pytest.fixture(scope="module")
def scenario_server() -> Iterator[ScenarioServer]:
    started = ScenarioServer()
    yield started
    started.stop()


def test_every_file_has_a_runner() -> None:
    assert sorted(VECTORS) == sorted(VECTOR_RUNNERS)
    assert all(isinstance(file["about"], str) and file["cases"] for file in VECTORS.values())


@pytest.mark.parametrize(
    ("file", "case"),
    [
        pytest.param(file, case, id=f"{file}: {case['name']}")
        for file in VECTOR_RUNNERS
        for case in VECTORS[file]["cases"]
    ],
)
def test_vector(file: str, case: Case) -> None:
    VECTOR_RUNNERS[file](case)
    PASSED.vectors[file] = PASSED.vectors.get(file, 0) + 1


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s["name"]) for s in ALL_SCENARIOS])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_scenario(
    scenario_server: ScenarioServer,
    scenario: dict[str, Any],
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An answer that is late on a busy machine is not held back by a proxy.
    monkeypatch.setattr(http_socket, "_HELD_SECONDS", 60)
    await run_scenario(scenario_server, scenario, transport)
    passed = PASSED.scenarios.setdefault(transport, {})
    passed.setdefault(scenario["feature"], []).append(scenario["name"])


def test_the_committed_results_are_those_of_this_run() -> None:
    found = {
        "vectors": PASSED.vectors,
        "vectors_sha256": VECTORS_SHA256,
        "scenarios": PASSED.scenarios,
    }
    if PASSED.write:
        text = json.dumps(found, indent=2, ensure_ascii=False)
        RESULTS.write_text(text + "\n", encoding="utf-8")
    assert json.loads(RESULTS.read_text(encoding="utf-8")) == found


def test_every_reason_and_close_code_is_named() -> None:
    assert set(ERRORS) <= {case["name"] for case in VECTORS["errors.json"]["cases"]}
    assert set(CLOSES) <= {case["code"] for case in VECTORS["close_codes.json"]["cases"]}


if __name__ == "__main__":
    PASSED.write = True
    config = ["-c", str(ROOT / "sdk/python/pyproject.toml"), "--rootdir", str(ROOT)]
    sys.exit(pytest.main(["-q", *config, __file__]))
