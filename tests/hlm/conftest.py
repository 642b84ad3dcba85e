"""A chain that takes seconds: a BERT of three small layers as the teacher, the planted data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hlm_bridge.config import HlmConfig, load_hlm_config


@pytest.fixture(scope="session")
def three_layers(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Path:
    """As the tiny backbone, with three layers."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    folder = tmp_path_factory.mktemp("backbone") / "three-layers"
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(tiny_backbone)
    config.num_hidden_layers = 3
    AutoModel.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_backbone).save_pretrained(folder)
    return folder


@pytest.fixture
def chain_config(tmp_path: Path, planted: Path, three_layers: Path) -> Callable[..., HlmConfig]:
    """Settings of a chain in ``tmp_path/chain``; also left in ``tmp_path/hlm.yaml``."""

    def make(*words: str) -> HlmConfig:
        (tmp_path / "hlm.yaml").write_text(
            yaml.safe_dump(
                {
                    "out": str(tmp_path / "chain"),
                    "data": {"path": str(planted)},
                    "teacher": {
                        "backbone": str(three_layers), "max_tokens": 16, "epochs": 2, "max_pairs": 64, "lr": 1e-3,
                        "batch_size": 16,
                    },
                    "vectors": {"shard": 200, "precision": "float32"},
                    "align": {"steps": 30, "batch_size": 64, "max_tokens": 16},
                    "prune": {"steps": 10, "calibration": 32},
                    "refine": {"steps": 10, "batch_size": 32},
                    "gate": {"teacher": 0.0, "align": 0.0, "prune": 0.0, "refine": 0.0, "own": "off"},
                }
            )
        )  # fmt: skip
        return load_hlm_config(tmp_path / "hlm.yaml", words)

    return make
