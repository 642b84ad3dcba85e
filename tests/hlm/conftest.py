"""A chain that takes seconds: a BERT of three small layers as the teacher, the planted data set."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@pytest.fixture(scope="session")
def tiny_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder of Qwen3's kind with random weights, byte-level BPE, padding on the left."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    folder = tmp_path_factory.mktemp("backbone") / "tiny-qwen3"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    corpus = [
        f"{x}{y} the words of a title and {z}"
        for x in syllables
        for y, z in zip(syllables[:9], syllables[9:18], strict=True)
    ]
    bpe.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>", padding_side="left",
        model_max_length=64,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    torch.manual_seed(2)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=128, pad_token_id=0, eos_token_id=0,
    )  # fmt: skip
    Qwen3Model(config).save_pretrained(folder)
    return folder


@contextmanager
def one_thread() -> Iterator[None]:
    """Models this small gain nothing from threads, and lose much where others use the cores too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def _in_one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(autouse=True)
def short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report's speeds from few texts: in these tests the chain counts, not the clock."""
    _time_little(monkeypatch)


def _time_little(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("hlm_bridge.table._SECONDS", 0.1)
    patch.setattr("hlm_bridge.table._TEXTS", 128)


def _settings(folder: Path, planted: Path, backbone: Path, words: tuple[str, ...] = ()) -> HlmConfig:
    (folder / "hlm.yaml").write_text(
        yaml.safe_dump(
            {
                "out": str(folder / "chain"),
                "data": {"path": str(planted)},
                "teacher": {
                    "backbone": str(backbone), "max_tokens": 16, "epochs": 2, "max_pairs": 64, "lr": 1e-3,
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
    return load_hlm_config(folder / "hlm.yaml", words)


@pytest.fixture
def chain_config(tmp_path: Path, planted: Path, three_layers: Path) -> Callable[..., HlmConfig]:
    """Settings of a chain in ``tmp_path/chain``; also left in ``tmp_path/hlm.yaml``."""

    def make(*words: str) -> HlmConfig:
        return _settings(tmp_path, planted, three_layers, words)

    return make


@pytest.fixture(scope="session")
def finished_chain(tmp_path_factory: pytest.TempPathFactory, planted: Path, three_layers: Path) -> Path:
    """The folder of a whole chain with ``chain_config``'s settings. Read only."""
    from hlm_bridge.run import run

    with one_thread(), pytest.MonkeyPatch.context() as patch:
        _time_little(patch)
        return run(_settings(tmp_path_factory.mktemp("finished"), planted, three_layers))


@pytest.fixture
def whole_chain(tmp_path: Path, finished_chain: Path) -> Path:
    """``tmp_path/chain`` as the whole chain leaves it."""
    return shutil.copytree(finished_chain, tmp_path / "chain")


@pytest.fixture
def trained_teacher(tmp_path: Path, finished_chain: Path) -> Path:
    """``tmp_path/chain`` as phase 1 leaves it."""
    chain = tmp_path / "chain"
    shutil.copytree(finished_chain / "teacher", chain / "teacher")
    (chain / "phases").mkdir()
    shutil.copy(finished_chain / "phases/teacher.json", chain / "phases")
    shutil.copy(finished_chain / "split.npz", chain)
    return chain


@pytest.fixture
def short_own(monkeypatch: pytest.MonkeyPatch, three_layers: Path) -> None:
    """The student's own training, which the gate compares with, from the small backbone."""
    import hlm_bridge.student_alone
    from ramen.config import load_config

    def short(preset: str, words: list[str]) -> object:
        faster = [
            f"encoder.backbone={three_layers}",
            "training.epochs=30",
            "training.min_steps=300",
            "training.lr=0.01",
        ]
        return load_config(preset, [*words, *faster])

    monkeypatch.setattr(hlm_bridge.student_alone, "load_config", short)
