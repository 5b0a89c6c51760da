"""Folds the log of a room with a reducer in wasmtime: `fold_log.py FILE` prints what it comes to as JSON."""

import json
import sys
from pathlib import Path

from rooms_by_wasmtime import fold

if __name__ == "__main__":
    print(json.dumps(fold(Path(sys.argv[1]))))
