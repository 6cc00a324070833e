"""The machine: which device, which precision, and what to write down of it."""

import ctypes
import os
import platform
import sys
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from .errors import Problem, Usage


def best(device: str | torch.device | None = None) -> torch.device:
    """The given device where the machine has it, else CUDA, else Apple's MPS, else the CPU."""
    if device is not None:
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise Usage(f"this machine has no device {str(device)!r}; try cpu") from error
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")


def precision(device: torch.device, name: str = "auto") -> torch.dtype | None:
    """The dtype of autocast: bfloat16 where the hardware multiplies it, None (float32) elsewhere. Never float16, which overflows in training."""
    if name == "auto" and device.type == "cuda":
        name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if name == "auto" and device.type == "cpu":
        name = "bf16" if any(flag in _cpuinfo("flags") for flag in ("amx_bf16", "avx512_bf16")) else "fp32"
    return torch.bfloat16 if name == "bf16" else None


@lru_cache
def _cpuinfo(key: str) -> str:
    """What Linux says of the first CPU under `key`; nothing on other systems."""
    with suppress(OSError), open("/proc/cpuinfo") as info:
        return next((line.partition(":")[2].strip() for line in info if line.startswith(key)), "")
    return ""


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    words = "can't allocate memory", "out of memory", "Storage size calculation overflowed"
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(said in str(error) for said in words)


def free_memory() -> None:
    """Gives back what torch keeps of a GPU's memory for later."""
    torch.cuda.empty_cache()


def compiled(network: torch.nn.Module, kept: Path | None = None, fallback: bool = False) -> None:
    """Compiles a network in place, each shape for itself; for a whole process, `kept` holds what is compiled and `fallback` goes on where that fails."""
    import torch._dynamo

    if kept:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kept))
    if fallback:
        torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.cache_size_limit = max(32, torch._dynamo.config.cache_size_limit)  # training, guided sampling, the last batch …
    network.compile(dynamic=False)


def uncompiled() -> AbstractContextManager[Any]:
    """Within it compiled networks run as they are written: a batch of another size, taken now and then, is not worth compiling for."""
    return torch.compiler.set_stance("force_eager")


def keep_memory() -> None:
    """Tells glibc to keep freed memory for the next tensor rather than hand it back: fetching fresh pages at every step costs a CPU dearly."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            mallopt = ctypes.CDLL("libc.so.6").mallopt
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD of its malloc.h
            mallopt(-3, 2**30)  # M_MMAP_THRESHOLD


def memory(device: torch.device) -> int | None:
    """All the bytes of a GPU; None of a device that computes in the machine's own memory."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def check_memory(what: str, size: int) -> None:
    """Raises Problem where so many bytes are more than Linux has to give: it would promise them, and end the process that uses them."""
    left = memory_left()
    if left is not None and size > left:
        needed, there = (f"{number / 2**30:,.1f} GiB" for number in (size, left))
        raise Problem(f"the memory does not hold this: {what} takes {needed}, and {there} are left; choose a smaller one")


def memory_left() -> int | None:
    """The bytes of its own memory that the machine has to give; None where it does not say."""
    with suppress(OSError), open("/proc/meminfo") as info:
        return next((1024 * int(line.split()[1]) for line in info if line.startswith("MemAvailable")), None)
    return None


def reset_peak(device: torch.device) -> None:
    """Forgets the most memory that was in use so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform.startswith("linux"):
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


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
    cpu = _cpuinfo("model name") or platform.processor() or platform.machine()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    found = {"python": platform.python_version(), "torch": torch.__version__, "device": str(device), "machine": name}
    return found | {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "system": platform.platform(terse=True)}
