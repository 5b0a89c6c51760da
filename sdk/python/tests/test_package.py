"""The README's examples against a real bus, the wheel in a clean environment, generated code."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

from bus import Bus

PACKAGE = Path(__file__).resolve().parents[1]
TIMEOUT_SECONDS = 180


def _run(*command: str | Path, cwd: Path = PACKAGE) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _examples() -> list[str]:
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", readme, re.DOTALL)


def test_generated_code_is_current() -> None:
    _run(sys.executable, "generate.py", "--check")


def test_wheel_in_a_clean_environment_runs_the_readme(bus: Bus, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", PACKAGE)
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    folder = "Scripts" if sys.platform == "win32" else "bin"
    python = tmp_path / "venv" / folder / "python"
    _run(python, "-m", "pip", "install", "-q", wheel)
    outputs: list[str] = []
    for number, example in enumerate(_examples()):
        script = tmp_path / f"example{number}.py"
        script.write_text(example, encoding="utf-8")
        outputs.append(_run(python, script, bus.url, bus.token("dev"), cwd=tmp_path))
    assert outputs == ["dev {'text': 'hello'}\n", "{'text': 'hello'}\n", ""]
    _run(
        python,
        "-c",
        "import arqon, pathlib; p = pathlib.Path(arqon.__file__); "
        "assert (p.parent / 'py.typed').exists()",
        cwd=tmp_path,
    )
