"""Available memory of a process."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory() -> float:
    """Return the available bytes, by the system and the container limit."""
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
