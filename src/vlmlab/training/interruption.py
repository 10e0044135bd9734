"""Signals that ask a run to stop: it finishes its step, saves and leaves."""

from __future__ import annotations

import contextlib
import signal as signals
import threading
from collections.abc import Generator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Wish:
    """Whether somebody asked the run to stop."""

    signal: signals.Signals | None = None


@contextlib.contextmanager
def heard() -> Generator[Wish]:
    """Note SIGTERM (a cluster that takes its machine back) and SIGINT (Ctrl-C) instead of dying of them.

    A second signal ends the process at once, as it would without this. Outside the main thread nothing is caught:
    Python gives signals to that thread alone.
    """
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signals.getsignal(number) for number in (signals.SIGTERM, signals.SIGINT)}

    def note(number: int, frame: FrameType | None) -> None:
        wish.signal = signals.Signals(number)
        for other in before:
            signals.signal(other, signals.default_int_handler if other == signals.SIGINT else signals.SIG_DFL)

    try:
        for number, handler in before.items():
            # A job in the background of a shell ignores Ctrl-C, and goes on doing so.
            if handler is not signals.SIG_IGN:
                signals.signal(number, note)
        yield wish
    finally:
        for number, handler in before.items():
            signals.signal(number, handler)
