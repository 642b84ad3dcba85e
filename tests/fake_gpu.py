"""A GPU that is not there: torch's fake tensors have a device and no values, and refuse what mixes or reads them."""

from __future__ import annotations

import contextlib
from collections import Counter

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

# Not "cuda": a build for CPUs cannot index tensors of that device. Mixing, reading and counting are the same.
DEVICE = "meta"
_READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "equal", "is_nonzero"}


class Waits(TorchDispatchMode):
    """Counts what makes the host of a GPU wait, by the name of the operation, and copies that do not."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()
        self.copies = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        if name in _READS and args[0].device.type == DEVICE:
            self.counts[name] += 1
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            target = args[0].device if name == "copy_" else kwargs.get("device") or source.device
            blocks = not (args[2] if name == "copy_" and len(args) > 2 else kwargs.get("non_blocking", False))
            if {source.device.type, torch.device(target).type} == {"cpu", DEVICE} and source.numel() > 0:
                self.copies += 1
                # a number of a tensor on the host is an argument of a kernel, no copy
                if blocks and source.ndim:
                    self.counts["copy"] += 1
        return function(*args, **kwargs)


@contextlib.contextmanager
def fake_gpu(*modules: nn.Module):
    """Move modules to it within the block; yields what counts the waits there."""
    waits = Waits()
    with FakeTensorMode(allow_non_fake_inputs=True), waits:
        for module in modules:
            for part in module.modules():
                for name, parameter in part._parameters.items():
                    if parameter is not None:
                        moved = torch.empty_like(parameter, device=DEVICE)
                        part._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
                for name, buffer in part._buffers.items():
                    if buffer is not None:
                        part._buffers[name] = torch.empty_like(buffer, device=DEVICE)
        yield waits
