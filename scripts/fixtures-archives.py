"""Makes fixtures/archives: the same few tensors in each kind of file that PyTorch writes, and files that must be refused.

    python3 scripts/fixtures-archives.py        (Debian 12: apt-get install python3-torch)
"""

import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import torch

RECORDED_WITH = "1.13.0a0"
FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "archives"


class Inner(torch.nn.Module):
    def __init__(self, tensors):
        super().__init__()
        self.weight = torch.nn.Parameter(tensors["inner.weight"])
        self.register_buffer("bias", tensors["inner.bias"])

    def forward(self, x):
        return x + self.bias.float()


class Outer(torch.nn.Module):
    def __init__(self, tensors):
        super().__init__()
        self.inner = Inner(tensors)
        self.scale = torch.nn.Parameter(tensors["scale"])
        self.register_buffer("count", tensors["count"])

    def forward(self, x):
        return self.inner(x) * self.scale


class Command:
    """A pickle that runs a command where pickles are executed."""

    def __reduce__(self):
        import os

        return os.system, ("touch executed",)


def main():
    if torch.__version__ != RECORDED_WITH:
        sys.exit(f"the fixtures were recorded with PyTorch {RECORDED_WITH}, this is {torch.__version__}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Numbers that every dtype here holds exactly, so that a reader can say what they are.
    tensors = OrderedDict(
        [
            ("inner.weight", torch.arange(6.0).reshape(2, 3) / 4),
            ("inner.bias", torch.arange(3.0).half() - 1),
            ("scale", torch.tensor(2.5)),
            ("count", torch.tensor(7)),
        ]
    )
    torch.save(tensors, FOLDER / "state_dict.pt")
    torch.save(tensors, FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.trace(Outer(tensors), torch.zeros(3)).save(str(FOLDER / "torch-script.pt"))

    # Views of one storage: rows behind an offset, and the same on its side.
    storage = torch.arange(12.0).reshape(4, 3)
    torch.save(OrderedDict([("rows", storage[1:3]), ("all", storage)]), FOLDER / "views.pt")
    # Views of which each element lies once, one behind the other, with the axes in another order.
    kernel = torch.arange(24.0).reshape(2, 3, 2, 2)
    permuted = OrderedDict(
        [
            ("turned", storage.t()),
            ("channels_last", kernel.half().to(memory_format=torch.channels_last)),
            ("permuted", torch.arange(24).reshape(4, 2, 3).permute(1, 2, 0)),
            ("one", torch.arange(3.0).reshape(1, 3, 1).permute(2, 1, 0)),
        ]
    )
    torch.save(permuted, FOLDER / "permuted.pt")
    torch.save(permuted, FOLDER / "permuted-legacy.pt", _use_new_zipfile_serialization=False)
    # Views that repeat elements, or leave some out.
    torch.save(OrderedDict([("expanded", torch.arange(3.0).expand(4, 3))]), FOLDER / "expanded.pt")
    torch.save(OrderedDict([("windows", torch.arange(6.0).unfold(0, 3, 1))]), FOLDER / "overlapping.pt")
    torch.save(OrderedDict([("columns", storage[:, ::2])]), FOLDER / "skipping.pt")
    # As open_clip saves a training run on several devices, with its optimiser beside.
    names = OrderedDict((f"module.{name}", tensor) for name, tensor in tensors.items())
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.98)}]}
    training = {"epoch": 3, "name": "run", "state_dict": names, "optimizer": optimizer}
    torch.save(training, FOLDER / "training.pt")
    torch.save(training, FOLDER / "training-legacy.pt", _use_new_zipfile_serialization=False)

    torch.save({"state_dict": tensors, "extra": Command()}, FOLDER / "command.pt")
    (FOLDER / "command-bare.pt").write_bytes(pickle.dumps(Command(), protocol=2))


main()
