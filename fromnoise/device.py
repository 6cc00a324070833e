"""The machine: which device, which precision, and what to write down of it."""

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from .errors import Usage

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def best(wanted: str | torch.device | None = None) -> torch.device:
    """The device wanted for, else CUDA, else Apple's MPS, else the CPU."""
    if wanted is not None:
        try:
            return torch.empty(0, device=wanted).device
        except (RuntimeError, AssertionError) as error:
            raise Usage(f"this machine has no device {str(wanted)!r}; try cpu") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def precision(device: torch.device, wanted: str = "auto") -> torch.dtype | None:
    """The dtype of autocast: bfloat16 where the hardware multiplies it, None (float32) elsewhere. Never float16, which overflows in training."""
    if wanted == "fp32":
        return None
    if wanted == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_has_bf16() else None
    return None


def _cpu_has_bf16() -> bool:
    try:
        with open("/proc/cpuinfo") as info:
            flags = next((line for line in info if line.startswith("flags")), "")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    words = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in words or "out of memory" in words


def compiled(network: torch.nn.Module, kept: Path | None = None, fallback: bool = False) -> None:
    """Compiles a network in place, each shape for itself.

    What the whole process will do from then on, for a program of its own: kept, where what was compiled stays; fallback, go on without
    compiling where it fails.
    """
    import torch._dynamo

    if kept:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kept))
    if fallback:
        torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.cache_size_limit = max(32, torch._dynamo.config.cache_size_limit)  # training, guided sampling, the last batch …
    network.compile(dynamic=False)


def keep_memory() -> None:
    """Tells glibc to keep freed memory for the next tensor rather than hand it back: fetching fresh pages at every step costs a CPU dearly."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_MMAP_THRESHOLD, 2**30)


def reset_peak(device: torch.device) -> None:
    """Forgets the most memory that was in use so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform.startswith("linux"):
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass


def peak_memory(device: torch.device) -> int | None:
    """The most bytes in use since `reset_peak`: on a GPU by tensors, on Linux's CPU by the process; None elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return None
    line = next((line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")), None)
    return int(line.split()[1]) * 1024 if line else None


def machine(device: torch.device) -> dict[str, Any]:
    """What a result should say of the machine that it was reached on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(device),
        "machine": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(terse=True),
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.partition(":")[2].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
