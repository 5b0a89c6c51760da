"""`fold_log.py FILE`: what the log of a room with a reducer comes to in wasmtime, as JSON."""

import json
import sys
from pathlib import Path

from rooms_by_wasmtime import fold

if __name__ == "__main__":
    print(json.dumps(fold(Path(sys.argv[1]))))
