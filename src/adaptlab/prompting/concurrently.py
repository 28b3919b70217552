"""Many calls at once, in a bounded number of threads; the first that fails ends them all.

Threads, because a notebook's kernel already runs an event loop of its own.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

T, R = TypeVar("T"), TypeVar("R")


def run_all(
    call: Callable[[T, threading.Event], R],
    jobs: Sequence[T],
    threads: int,
    done: Callable[[R], None],
) -> None:
    """Call `call(job, over)` for every job, and `done` with each result as it comes.

    over: set when a call has failed. Calls that have not begun are dropped then, those that run
    are waited for (an interrupt waits for none), and the failed one's exception is raised.
    """
    over = threading.Event()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ask")
    try:
        for future in as_completed([pool.submit(call, job, over) for job in jobs]):
            done(future.result())
    except BaseException as error:
        over.set()
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
