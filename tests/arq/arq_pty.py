"""Runs one program in a pseudo-terminal of its own for the tests of `arq`, with a person who waits
for texts, types and changes the window's size. Not a terminal: what comes is returned as it is.

Reads one JSON object on stdin: args, cwd, env, rows, columns, timeout_s, and steps, a list of
objects {"until", "send", "resize"}. A step waits until the text was seen since the step before,
for timeout_s at most, then resizes, then types. The end is waited for as long as a step.
Writes one on stdout: {"output", "code", "waits_for"}. The code is minus the signal for a program
that one has ended; what a step still waited for is a text, or null.
"""

import codecs
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from typing import Any


def resize(terminal: int, rows: int, columns: int) -> None:
    """Sets the window's size; the system sends SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def start(spec: dict[str, Any]) -> tuple[int, int]:
    """The program's process id and our end of its terminal."""
    go_read, go_write = os.pipe()
    child, terminal = pty.fork()
    if child == 0:
        os.close(go_write)
        # The window has its size before the program looks.
        os.read(go_read, 1)
        os.chdir(spec["cwd"])
        args = spec["args"]
        os.execvpe(args[0], args, {**os.environ, **spec["env"], "TERM": "xterm-256color"})
    os.close(go_read)
    resize(terminal, spec["rows"], spec["columns"])
    os.write(go_write, b"x")
    os.close(go_write)
    return child, terminal


def take_step(terminal: int, step: dict[str, Any]) -> None:
    """Resizes the window and types, as the step says."""
    if "resize" in step:
        resize(terminal, *step["resize"])
    if "send" in step:
        os.write(terminal, step["send"].encode())


def main() -> None:
    """Runs it to its end, or kills it when it takes too long."""
    spec = json.load(sys.stdin)
    child, terminal = start(spec)
    steps = list(spec["steps"])
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    output, seen = "", 0
    deadline = time.monotonic() + spec["timeout_s"]
    while True:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            break
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:
            # Linux says so when the program's side is closed.
            break
        if not chunk:
            break
        output += decoder.decode(chunk)
        while steps and (at := output.find(steps[0]["until"], seen)) >= 0:
            seen = at + len(steps[0]["until"])
            take_step(terminal, steps.pop(0))
            deadline = time.monotonic() + spec["timeout_s"]
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    waits_for = steps[0]["until"] if steps else None
    json.dump({"output": output, "code": code, "waits_for": waits_for}, sys.stdout)


main()
