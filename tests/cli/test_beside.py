"""What the program hears while others work beside it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from queue import SimpleQueue

from smtpprobe.cli.beside import next_of

PATIENCE_S = 20.0


def test_a_signal_that_wakes_nobody_is_heard_all_the_same() -> None:
    events: SimpleQueue[str] = SimpleQueue()
    before = signal.signal(signal.SIGUSR1, lambda *_: events.put("heard"))

    main = threading.get_ident()

    def end_in_vain() -> None:
        while sys._current_frames()[main].f_code is not next_of.__code__:
            threading.Event().wait(0.001)
        threading.Event().wait(0.01)  # until it waits indeed
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        os.kill(os.getpid(), signal.SIGUSR1)  # comes to this thread, and the program goes on waiting

    threads = [threading.Thread(target=end_in_vain), threading.Timer(PATIENCE_S, events.put, ["not heard"])]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        for each in threads:
            each.daemon = True
            each.start()
        assert next_of(events) == "heard"
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        signal.signal(signal.SIGUSR1, before)
