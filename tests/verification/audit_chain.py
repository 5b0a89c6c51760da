"""Checks entries of the audit log, one a line on stdin, by what docs/security.md says of them.

Knows nothing of the bus and imports nothing of it. Prints one JSON object; exits 1 at a break.
"""

import hashlib
import json
import sys


def check(lines: list[bytes]) -> dict[str, object]:
    """The number of entries, and the first one that does not fit."""
    last_seq = 0
    last_hash = ""
    for count, line in enumerate(lines):
        try:
            entry = json.loads(line)
            seq, previous = entry["seq"], entry["previous"]
        except (ValueError, KeyError, TypeError):
            return {"entries": count, "broken": last_seq + 1}
        if count == 0:
            if seq == 1 and previous != "0" * 64:
                return {"entries": count, "broken": 1}
        elif seq != last_seq + 1:
            return {"entries": count, "broken": min(seq, last_seq + 1)}
        elif previous != last_hash:
            return {"entries": count, "broken": last_seq}
        last_seq, last_hash = seq, hashlib.sha256(line).hexdigest()
    return {"entries": len(lines), "broken": None, "head": f"{last_seq}:{last_hash}"}


def main() -> int:
    """Reads stdin, says what it found."""
    lines = sys.stdin.buffer.read().split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    found = check(lines)
    print(json.dumps(found))
    return 0 if found["broken"] is None else 1


if __name__ == "__main__":
    sys.exit(main())
