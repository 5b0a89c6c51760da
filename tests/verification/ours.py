"""Our programs that the suites here compare with others: each prints lines."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


def deno() -> list[str]:
    """The runtime: of the PATH, else npm's."""
    found = shutil.which("deno")
    return [found] if found else ["npx", "-y", "deno"]


def answers(command: list[str], lines: Iterable[str] = ()) -> list[str]:
    """What a program says to these lines, line by line."""
    ran = subprocess.run(
        command,
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        cwd=ROOT,
    )
    return ran.stdout.splitlines()


def by_us(
    name: str,
    *args: str,
    flags: Iterable[str] = ("--allow-read",),
    lines: Iterable[str] = (),
) -> list[str]:
    """What one of the programs beside this file says."""
    return answers([*deno(), "run", "--quiet", *flags, str(HERE / name), *args], lines)
