"""Lock files: one writer of a run directory, of a stage in the store, of a study."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Generator
from pathlib import Path

from vlmlab.errors import RunError

PATIENCE = 2.0
"""Seconds that the workers of a killed run may go on holding its lock: they look for their parent twice a second."""


@contextlib.contextmanager
def exclusive(path: Path, *, where: str) -> Generator[None]:
    """Hold a lock file. RunError when another process goes on holding it."""
    with contextlib.ExitStack() as stack:
        if not try_exclusive(path, stack, seconds=PATIENCE):
            raise RunError(where, "another process is writing here; wait until it ends, or choose another --out")
        yield


def try_exclusive(path: Path, stack: contextlib.ExitStack, *, seconds: float | None) -> bool:
    """Whether the lock file could be had within some seconds, or None: wait. It is held until the stack is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("w")
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if deadline is None else fcntl.LOCK_NB))
        except BlockingIOError:
            if deadline is not None and time.monotonic() > deadline:
                handle.close()
                return False
            time.sleep(0.05)
        else:
            stack.enter_context(handle)
            return True
