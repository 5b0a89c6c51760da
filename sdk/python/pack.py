"""Builds the sdist, and from it the wheel, into `dist/wheel` or the given folder, and checks both.

It runs `twine check`, and it checks that both contain only the package.
"""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path, PurePosixPath

from packaging.metadata import Metadata

HERE = Path(__file__).resolve().parent
OUT = HERE.parent.parent / "dist" / "wheel"
BUILD_SECONDS = 300


def build(folder: Path) -> tuple[Path, Path]:
    """Builds the sdist and the wheel. First it removes what an earlier run left in the folder."""
    for old in [*folder.glob("arqon_sdk-*.whl"), *folder.glob("arqon_sdk-*.tar.gz")]:
        old.unlink()
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(HERE)]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the build failed:\n{done.stdout}{done.stderr}")
    (sdist,), (wheel,) = folder.glob("arqon_sdk-*.tar.gz"), folder.glob("arqon_sdk-*.whl")
    return sdist, wheel


def check_metadata(text: bytes) -> None:
    """As an index does. Raises ExceptionGroup or ValueError."""
    metadata = Metadata.from_email(text, validate=True)
    parsed: Message = email.message_from_bytes(text)
    if metadata.description_content_type != "text/markdown" or not metadata.description:
        raise ValueError("the description is not the README as Markdown")
    # PyPI shows the README outside of the repository.
    if "](../" in metadata.description:
        raise ValueError("a link of the README leads out of the package: write its address")
    if parsed["Name"] != "arqon-sdk" or parsed["Requires-Python"] != ">=3.10":
        raise ValueError(f"not arqon-sdk for Python 3.10: {parsed['Name']}")


def check_wheel(wheel: Path) -> None:
    """Pure Python, typed, licensed, and all of the package."""
    if not wheel.name.endswith("-py3-none-any.whl"):
        raise ValueError(f"{wheel.name} is not for every system")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        check_metadata(archive.read(info))
    source = HERE / "src"
    files = [p for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    expected = {p.relative_to(source).as_posix() for p in files}
    folder = PurePosixPath(info).parent
    inside = {name for name in names if PurePosixPath(name).parts[0] != folder.name}
    if inside != expected or f"{folder}/licenses/LICENSE" not in names:
        raise ValueError(f"the wheel is not the package: {sorted(inside ^ expected)}")


def check_sdist(sdist: Path) -> None:
    """The sdist contains the source of the wheel, and no tests."""
    with tarfile.open(sdist) as archive:
        names = {PurePosixPath(*PurePosixPath(n).parts[1:]).as_posix() for n in archive.getnames()}
    tops = {PurePosixPath(name).parts[0] for name in names if name != "."}
    expected = {"src", "README.md", "LICENSE", "pyproject.toml", "PKG-INFO"}
    if tops - {".gitignore"} != expected:
        raise ValueError(f"the sdist has {sorted(tops)}; expected {sorted(expected)}")


def main() -> int:
    """Prints the two paths."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    folder.mkdir(parents=True, exist_ok=True)
    sdist, wheel = build(folder)
    check_sdist(sdist)
    check_wheel(wheel)
    print(sdist)
    print(wheel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
