"""What is done once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from modules.support.once import once


def test_one_of_several_calls_acts_and_the_others_wait_for_it():
    calls, entered, go = [], threading.Event(), threading.Event()

    def act():
        calls.append(1)
        entered.set()
        assert go.wait(10)

    run = once(act)
    with ThreadPoolExecutor(3) as crowd:
        asked = [crowd.submit(run) for _ in range(3)]
        assert entered.wait(10)
        assert not any(one.done() for one in asked)
        go.set()
        for one in asked:
            one.result(10)
    run()
    assert calls == [1]
