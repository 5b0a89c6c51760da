"""The live map in Python where no feed is needed: what it draws, and wrong command lines.

With real feeds: `tests/external/map_test.ts`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples/map/python"
sys.path.insert(0, str(FOLDER))

from view import draw, is_vehicle  # noqa: E402


def train(one: str, stop: str, sequence: int, route: str = "A") -> dict[str, Any]:
    return {"id": one, "route": route, "stop": stop, "sequence": sequence, "at_seconds": 0}


def picture(*vehicles: dict[str, Any]) -> list[str]:
    return draw({one["id"]: one for one in vehicles}, 31)


def test_a_route_is_a_row_and_its_trips_run_to_the_right_and_back() -> None:
    rows = picture(train("1", "A1N", 0), train("2", "A9N", 19), train("3", "A9S", 4))
    assert rows == ["A        3 ▶··············◀···▶"]
    assert picture(train("1", "B1S", 0, "B"), train("2", "A1N", 0)) == [
        "A        1 ▶···················",
        "B        1 ···················◀",
    ]


def test_coordinates_are_a_map_with_the_north_up() -> None:
    places = {"sw": (47.0, -122.0), "ne": (50.0, -60.0)}
    placed = [
        {**train(one, "", 0, ""), "latitude": at[0], "longitude": at[1]}
        for one, at in places.items()
    ]
    rows = picture(*placed, train("1", "A1N", 0))
    assert len(rows) == 13
    assert rows[0] == " " * 30 + "●"
    assert rows[11] == "●"
    assert rows[12].startswith("A        1 ▶")


def test_names_command_nothing_and_an_empty_map_is_drawn() -> None:
    assert "\x1b" not in picture(train("1", "", 0, "\x1b[2J"))[0]
    assert draw({}, 80) == []


def test_invalid_vehicles_are_ignored() -> None:
    assert is_vehicle(train("1", "A1N", 0))
    bad: list[Any] = [None, 7, [], {}, b"x", {**train("1", "", 0), "sequence": "3"}]
    bad.append({**train("1", "", 0), "latitude": "50"})
    assert not any(map(is_vehicle, bad))


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["ws://127.0.0.1:1", "a.b.c", "/nowhere"], "play: there is no *.pb in /nowhere"),
        (["ws://127.0.0.1:1", "a.b.c", ".", "--speed", "0"], "it is 0; expected a number above 0"),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_line(args: list[str], wanted: str) -> None:
    ended = subprocess.run(
        [sys.executable, str(FOLDER / "play.py"), *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert wanted in ended.stderr
    assert "Traceback" not in ended.stderr
