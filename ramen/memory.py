"""How much memory a process may still take."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory() -> float:
    """Bytes that a process may still take, by the system and by a container's limit."""
    free = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = float(line.split()[1]) * 1024
        limit, used = (Path("/sys/fs/cgroup", name).read_text().strip() for name in ("memory.max", "memory.current"))
        if limit != "max":
            free = min(free, float(limit) - float(used))
    except (OSError, ValueError):
        pass  # another system, or no container
    return free
