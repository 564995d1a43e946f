"""Concurrent requests: taken as fast as they are answered, limited to a rate, and stopped without loss."""

import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait

from tqdm import tqdm

from scmpt_scverse.llm._base import Answer, Answers, Request


def ask_concurrently(ask: Callable[[Request], Answer], requests: Iterable[Request], n_at_a_time: int) -> Answers:
    """Requests with their answers, in order of arrival.

    On Ctrl-C, or after an error that ends the run, no further request is taken; pending ones are waited for and given,
    since they are paid for, before the interrupt or error is raised. A second Ctrl-C drops them.
    """
    source = iter(requests)
    pending: dict[Future[Answer], Request] = {}
    wait_for_threads = True
    pool = ThreadPoolExecutor(n_at_a_time)
    try:
        while True:
            while len(pending) < n_at_a_time and (request := next(source, None)) is not None:
                pending[pool.submit(ask, request)] = request
            if not pending:
                return
            for done in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(done), done.result()
    except (KeyboardInterrupt, Exception) as stop:
        wait_for_threads = False
        if isinstance(stop, KeyboardInterrupt):
            tqdm.write(
                f"Stopping: waiting for {len(pending)} answers that are paid for. Interrupt again to drop them.",
                file=sys.stderr,
            )
        for done in as_completed(list(pending)):
            request = pending.pop(done)
            if done.exception() is None:
                yield request, done.result()
        wait_for_threads = True
        raise
    finally:
        pool.shutdown(wait=wait_for_threads, cancel_futures=True)


# Not a library: pyrate-limiter 4.5 keeps the same intervals (20 requests at 50 ms in 0.98 s, here 0.95 s), but does not
# serve in order of arrival (of 16 threads one waited 48 turns, here 16) and leaves a thread running when it is closed;
# its rates per minute, and those of limits 5.8, let a whole minute's requests through at once.
class Pace:
    """Lets the requests of several threads pass at equal intervals.

    Parameters
    ----------
    per_minute
        Requests per minute; `None` lets all pass at once.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._interval = 0.0 if per_minute is None else 60 / per_minute
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when it is this request's turn."""
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + self._interval
        time.sleep(max(0.0, turn - time.monotonic()))
