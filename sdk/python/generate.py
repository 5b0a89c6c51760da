"""Writes the generated parts of the package; with `--check` it exits with 1 if any is not current.

From `proto/arqon/v1/*.proto` it makes `_gen/*_pb2.py` and their stubs (what clients speak, so not
`replication.proto`). `errors_gen.py` is not made here: `deno task gen` of the repository does.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
PACKAGE = HERE / "src" / "arqon"
FILES = ("control", "envelope", "history", "presence")
# Of the stubs: slots, and the numbers of fields that nobody asks for.
UNUSED = re.compile(
    r"^    (?:__slots__|(?!MESSAGES|HEADERS|SIGNATURE)\w+_FIELD_NUMBER)\b.*\n", re.MULTILINE
)


def protobuf_files() -> dict[Path, str]:
    """The content of `_gen`, by path. Raises RuntimeError when protoc fails."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{PROTO}", f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main([*arguments, *(f"arqon/v1/{name}.proto" for name in FILES)]) != 0:
            raise RuntimeError("protoc failed")
        files: dict[Path, str] = {}
        for made in sorted(Path(folder).rglob("*_pb2.py*")):
            text = made.read_text(encoding="utf-8")
            text = text.replace("from arqon.v1 import", "from arqon._gen import")
            if made.suffix == ".pyi":
                text = UNUSED.sub("", text)
            files[PACKAGE / "_gen" / made.name] = text
        return files


def main() -> int:
    """0: written, or everything is current."""
    files = protobuf_files()
    if "--check" not in sys.argv[1:]:
        for path, text in files.items():
            path.write_text(text, encoding="utf-8", newline="\n")
        return 0
    stale = [
        path
        for path, text in files.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"not current: {path.relative_to(HERE)}; run generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
