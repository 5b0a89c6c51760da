"""Writes the generated parts of the package. With `--check` it exits with 1 if one is not current.

From `proto/arqon/v1/*.proto` it makes `_gen`: the classes of the client protocol (so not of
`replication.proto`), and their stub. `errors_gen.py` is made by `deno task gen` of the
repository.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
PACKAGE = HERE / "src" / "arqon"
FILES = ("control", "envelope", "history", "presence")
# Removed from the stubs: slots, numbers of fields, the entries of maps, second names of constants,
# blank lines, and imports that are written elsewhere.
UNUSED = re.compile(
    r"^(?:    (?:__slots__|(?!MESSAGES|HEADERS|SIGNATURE)\w+_FIELD_NUMBER)|DESCRIPTOR|from)\b.*\n"
    r"|^    class \w+Entry\b.*\n(?: {8}.*\n)+|^ {8}KIND_.*\n|^\n",
    re.MULTILINE,
)
CODE = '''"""The messages of arqon.v1. Generated from proto/arqon/v1 by generate.py. Do not edit."""
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# A descriptor pool of its own: a program may have other classes for the same messages.
_POOL = DescriptorPool()
_FILES = (
    {files}
)
for _file in _FILES:
    for _name, _descriptor in _POOL.AddSerializedFile(_file).message_types_by_name.items():
        globals()[_name] = GetMessageClass(_descriptor)
'''


def protobuf_files() -> dict[Path, str]:
    """The content of `_gen`, by path. Raises RuntimeError when protoc fails."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "files"
        arguments = ["protoc", f"-I{PROTO}", f"--pyi_out={folder}", f"--descriptor_set_out={made}"]
        if protoc.main([*arguments, *(f"arqon/v1/{name}.proto" for name in FILES)]) != 0:
            raise RuntimeError("protoc failed")
        descriptors = FileDescriptorSet.FromString(made.read_bytes()).file
        stubs = [
            path.read_text(encoding="utf-8") for path in sorted(Path(folder).rglob("*_pb2.pyi"))
        ]
    imports = {
        line for stub in stubs for line in re.findall("^from (?!arqon).*", stub, re.MULTILINE)
    }
    whole = "".join(UNUSED.sub("", stub) for stub in stubs)
    stub = re.sub(r"_\w+_pb2\.", "", whole).replace("\nclass", "\n\nclass")
    files = "\n    ".join(f"{file.SerializeToString()!r}," for file in descriptors)
    return {
        PACKAGE / "_gen" / "__init__.py": CODE.format(files=files),
        PACKAGE / "_gen" / "__init__.pyi": "\n".join([*sorted(imports), "", stub]),
    }


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
