"""README examples on a real bus, the wheel in a clean environment, folders, generated code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import venv
from pathlib import Path

from bus import Bus

PACKAGE = Path(__file__).resolve().parents[1]
# The private packages and modules, lowest first. The public modules are on no floor.
FLOORS = ["_gen", "_clock", "_tasks", "_wire", "_session", "_proof", "_subscription", "_driver"]
# Of each system only: nothing of the package may need them.
ONE_SYSTEM_ONLY = {"fcntl", "grp", "msvcrt", "posix", "pwd", "resource", "signal", "termios"}


def _run(*command: str | Path, cwd: Path = PACKAGE) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _examples(folder: Path) -> list[Path]:
    """Every Python block of the README as a file. A block that reads sys.argv is a program."""
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    files = [folder / f"example_{number}.py" for number in range(len(blocks))]
    for file, block in zip(files, blocks, strict=True):
        file.write_text(block, encoding="utf-8")
    return files


def test_generated_code_is_current() -> None:
    _run(sys.executable, "generate.py", "--check")


def test_nothing_of_the_package_is_for_one_system_only() -> None:
    for file in (PACKAGE / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & ONE_SYSTEM_ONLY, file


def test_private_packages_need_none_above_themselves() -> None:
    source = PACKAGE / "src" / "arqon"
    assert sorted(FLOORS) == sorted(path.stem for path in source.glob("_[a-z]*"))
    for file in source.rglob("*.py"):
        floor = file.relative_to(source).parts[0].removesuffix(".py")
        if floor not in FLOORS:
            continue
        below = FLOORS[: FLOORS.index(floor) + 1]
        # The running program does not import what is below `if TYPE_CHECKING`.
        nodes = ast.parse(file.read_text(encoding="utf-8")).body
        for module in [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]:
            package = module.removeprefix("arqon.").split(".")[0]
            assert package in below or package not in FLOORS, f"{file} must not need {module}"


def test_every_example_of_the_readme_type_checks(tmp_path: Path) -> None:
    config = PACKAGE / "pyproject.toml"
    _run(sys.executable, "-m", "mypy", "--config-file", config, *_examples(tmp_path))


def test_wheel_in_a_clean_environment_runs_the_readme(bus: Bus, tmp_path: Path) -> None:
    _, wheel = _run(sys.executable, "pack.py", tmp_path / "dist").split()
    venv.create(tmp_path / "venv")
    folder = "Scripts" if sys.platform == "win32" else "bin"
    python = tmp_path / "venv" / folder / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "-q", wheel)
    outputs = [
        _run(python, example, bus.url, bus.token("dev"), cwd=tmp_path)
        for example in _examples(tmp_path)
        if "sys.argv" in example.read_text(encoding="utf-8")
    ]
    assert outputs == ["dev {'text': 'hello'}\n", "{'text': 'hello'}\n", "tea True\n[]\n"]
    _run(python, "-c", "import arqon; assert arqon.__version__", cwd=tmp_path)
