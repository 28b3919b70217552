"""The process that a notebook runs in: this interpreter, watched and always shut down."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_core.utils import run_sync

# The kernel would greet each notebook's reader with a warning about its local sockets.
QUIET = ["--IPKernelApp.log_level=ERROR"]
INTERVAL = 0.2  # seconds between two looks at the kernel's memory


class _ThisPython(KernelSpecManager):
    """Answers every kernel name with the running interpreter.

    A notebook's kernelspec may name anything, and a "python3" installed for the user may be
    another Python than the one that has this package.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(QUIET))


class _Manager(AsyncKernelManager):
    """A manager that knows the clients it gave out, to close their sockets in the end.

    papermill closes a client only where it started the kernel itself.
    """

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self._clients: list[AsyncKernelClient] = []

    def client(self, **settings: Any) -> AsyncKernelClient:
        self._clients.append(super().client(**settings))
        return self._clients[-1]

    def close_clients(self) -> None:
        for client in self._clients:
            client.stop_channels()


@contextmanager
def started(cwd: Path, out: Path) -> Iterator[AsyncKernelManager]:
    """A running kernel in the folder `cwd`, in which a failed exercise is an error.

    What a notebook builds besides itself, its records, goes to `out`. The kernel is killed on
    leaving, whatever happened: all it has to say is in the notebook by then.
    """
    manager = _Manager(kernel_name="python3", kernel_spec_manager=_ThisPython())
    environment = {**os.environ, "ADAPTLAB_STRICT": "1", "ADAPTLAB_OUT": str(out)}
    try:
        run_sync(manager.start_kernel)(cwd=str(cwd), env=environment)
        yield manager
    finally:
        if manager.has_kernel:
            run_sync(manager.shutdown_kernel)(now=True)
        manager.close_clients()


@contextmanager
def peak_memory(pid: int, tick: Callable[[], None] = lambda: None) -> Iterator[Callable[[], int]]:
    """Watch the process `pid` and its children; the yielded function gives their peak in bytes.

    The peak is the largest sum of resident set sizes among samples INTERVAL seconds apart: a
    rise and fall between two samples is missed, and a page shared by two processes counts
    twice. `tick` is called at each sample, in the watching thread.
    """
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(INTERVAL):
            peak = max(peak, _resident(pid))
            tick()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak
    finally:
        done.set()
        watcher.join()


def _resident(pid: int) -> int:
    """The resident bytes of a process and all under it, as far as they still live."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:  # it has just ended
                continue
    except psutil.Error:
        pass
    return total
