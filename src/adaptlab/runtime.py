"""Device, number format, threads, seeds and measuring: decided here and nowhere else."""

import contextlib
import ctypes
import gc
import os
import random
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState


@dataclass(frozen=True)
class Runtime:
    """Where tensors live and in which format the model computes."""

    device: torch.device
    dtype: torch.dtype
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.device.type}, {str(self.dtype).removeprefix('torch.')}, {self.threads} threads"
        )


def has_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 in hardware; emulating it (a T4, an old CPU) is not that."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return any(able.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def detect(device: str | None = None, dtype: torch.dtype | None = None) -> Runtime:
    """The runtime of this machine: a GPU if there is one; bf16 where the hardware has it."""
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.bfloat16 if has_bf16(chosen) else torch.float32)
    return Runtime(chosen, dtype, torch.get_num_threads())


def accelerator_for(runtime: Runtime) -> Accelerator:
    """What a training loop runs on: one or many processes, in mixed precision where it is bf16."""
    AcceleratorState._reset_state(True)  # else the first runtime of the process would stay
    return Accelerator(
        mixed_precision="bf16" if runtime.dtype is torch.bfloat16 else "no",
        cpu=runtime.device.type == "cpu",
    )


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and ask torch for deterministic kernels.

    On a CPU the same seed on the same machine then gives the same numbers bit for bit.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only so
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)


def quiet() -> None:
    """Keep the libraries' progress bars and advice to developers out of notebooks."""
    import datasets
    import transformers

    warnings.filterwarnings("ignore", category=FutureWarning)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def memory_in_use() -> int:
    """The bytes that torch holds on the GPU in use, else the resident memory of the process."""
    if torch.cuda.is_initialized():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


@dataclass
class Measurement:
    """What a `measure()` block took; the fields are set when the block ends."""

    seconds: float = 0.0
    peak_bytes: int = 0

    def __add__(self, other: "Measurement") -> "Measurement":
        """One block after another: times add up, the higher peak counts."""
        return Measurement(self.seconds + other.seconds, max(self.peak_bytes, other.peak_bytes))


@contextmanager
def measure() -> Iterator[Measurement]:
    """Time a block and find its peak memory in bytes.

    Where a GPU is in use the peak is torch's allocations on it; on a CPU it is the resident memory
    of the whole process, libraries and model included (what must fit into RAM).
    """
    result = Measurement()
    _give_back_memory()
    peak = _CudaPeak() if torch.cuda.is_initialized() else _ResidentPeak()
    start = time.perf_counter()
    try:
        yield result
    finally:
        result.peak_bytes = peak.stop()
        result.seconds = time.perf_counter() - start


def _give_back_memory() -> None:
    """Free what the last block left, so that this one's peak is its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # glibc keeps freed pages otherwise


class _CudaPeak:
    def __init__(self) -> None:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def stop(self) -> int:
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()


class _ResidentPeak:
    """Peak resident memory: the kernel's own high-water mark on Linux, else sampled."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._sampled = self._process.memory_info().rss
        self._exact = self._reset_high_water_mark()
        if not self._exact:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()

    def stop(self) -> int:
        if self._exact:
            status = Path("/proc/self/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        self._stop.set()
        self._thread.join()
        return max(self._sampled, self._process.memory_info().rss)

    @staticmethod
    def _reset_high_water_mark() -> bool:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): 5 resets VmHWM
        except OSError:
            return False
        return True

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            self._sampled = max(self._sampled, self._process.memory_info().rss)
