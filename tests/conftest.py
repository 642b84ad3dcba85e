"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import string
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

import ramen
from ramen.data.prepare import prepare
from ramen.threads import limited

# No deadline: the first example of a kernel compiles it.
settings.register_profile("ramen", deadline=None)
settings.load_profile("ramen")

pytest_plugins = ["scorer_makers", "training_makers"]
collect_ignore = ["fuzz_readers.py"]  # a program of its own; needs atheris

TRAIN = [
    {"uid": "p0", "title": "red apple", "content": "a fruit", "target_ind": [0, 2], "target_rel": [1.0, 1.0]},
    {"uid": "p1", "title": "green pear", "content": "", "target_ind": [1], "target_rel": [1.0]},
    {"uid": "p2", "title": "blue plum", "content": "line one\nline two", "target_ind": [], "target_rel": []},
]
TEST = [{"uid": "q0", "title": "yellow apple", "content": "", "target_ind": [0], "target_rel": [1.0]}]
LABELS = [
    {"uid": f"l{i}", "title": title, "content": ""} for i, title in enumerate(["apple", "pear", "fruit", "stone"])
]


def json_lines(records: list[dict]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder that only this session's tests and their child processes use."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAMEN_CACHE", str(folder))
        yield folder


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """``with threads(4):`` kernels share out even little work to so many threads."""
    monkeypatch.setattr("ramen.threads._LEAST", 1)
    return limited


@pytest.fixture
def ramen_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess]:
    """``ramen_here("data", "check", folder)``: the command line in this process, working in an empty folder.

    With ``stdin`` bytes and ``cwd`` another folder. A bug raises, where a process would show its traceback.
    """
    from ramen.cli.exits import exits
    from ramen.cli.main import app

    def call(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess:
        words = list(map(str, arguments))
        streams = {name: io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") for name, content in
                   (("stdin", stdin), ("stdout", b""), ("stderr", b""))}  # fmt: skip
        logger, environment, threshold = logging.getLogger("ramen"), dict(os.environ), gc.get_threshold()
        handlers, level = logger.handlers[:], logger.level
        with monkeypatch.context() as patch, warnings.catch_warnings():
            patch.chdir(cwd or tmp_path)
            patch.setattr(sys, "argv", ["ramen", *words])
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            try:
                with pytest.raises(SystemExit) as ended:
                    exits(app, "ramen")
            finally:
                logger.handlers[:] = handlers
                logger.setLevel(level)
                os.environ.clear()
                os.environ.update(environment)
                gc.unfreeze()
                gc.set_threshold(*threshold)
        said = []
        for stream in (streams["stdout"], streams["stderr"]):
            stream.flush()
            said.append(stream.buffer.getvalue().decode())
        return subprocess.CompletedProcess(words, ended.value.code or 0, *said)

    return call


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    """A sound label-feature folder: 3 training points, 1 test point, 4 labels, one graph of 2 anchors."""
    folder = tmp_path / "small"
    (folder / "graphs").mkdir(parents=True)
    files = {
        "trn.json": json_lines(TRAIN),
        "tst.json": json_lines(TEST),
        "lbl.json": json_lines(LABELS),
        "trn_X_Y.txt": "3 4\n0:1 2:1\n1:1\n\n",
        "tst_X_Y.txt": "1 4\n0:1\n",
        "filter_labels_train.txt": "0 3\n",
        "filter_labels_test.txt": "0 1\n0 2\n",
        "graphs/colour.raw.txt": "warm\ncold\n",
        "graphs/colour_trn_X_Y.txt": "3 2\n0:1\n1:1\n1:1\n",
        "graphs/colour_lbl_X_Y.txt": "4 2\n0:1\n\n0:1 1:1\n\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def unprivileged(tmp_path: Path) -> Callable[[], AbstractContextManager[None]]:
    """A context without root's right to read and write everything; one that does nothing for other users."""

    @contextmanager
    def drop() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)  # pytest's own folders are closed to others
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Path of a real data set by its folder's name; skips where RAMEN_DATA does not have it."""

    def find(name: str) -> Path:
        root = os.environ.get("RAMEN_DATA")
        if not root:
            pytest.skip("RAMEN_DATA is not set")
        folder = Path(root) / name
        if not folder.is_dir():
            pytest.skip(f"RAMEN_DATA has no {name}")
        return folder

    return find


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real BERT of one layer with random weights and about 200 word pieces."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("backbone") / "tiny-bert"
    folder.mkdir()
    starts = [*string.ascii_lowercase, *string.digits, *".,-()[]/:+"]
    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
    pieces = [
        *starts,
        *(f"##{start}" for start in starts),
        *syllables[:40],
        *(f"##{syllable}" for syllable in syllables),
    ]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted data set, small."""
    return prepare("planted", tmp_path_factory.mktemp("data") / "planted", points=300, labels=120)


@pytest.fixture(scope="session")
def searching(tiny_backbone: Path) -> list[str]:
    """Settings for a training run of some seconds: weights of graphs and settings of the sparse head are searched."""
    steps = ["training.epochs=3", "training.min_steps=12", "graph.min_steps=12"]
    return [f"encoder.backbone={tiny_backbone}", *steps, "dense.epochs=2"]


@pytest.fixture(scope="session")
def quick(searching: list[str]) -> list[str]:
    """Settings for a training run of about a second: nothing but the scorers' weights is searched."""
    return [*searching, "graph.lambda=fixed", "sparse.choose=false"]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, planted: Path, searching: list[str]) -> Path:
    """A static run on ``planted``. Read only: copy it before you change a file."""
    return ramen.train(planted, out=tmp_path_factory.mktemp("runs") / "static", overrides=searching)


@pytest.fixture(scope="session")
def learned_run(tmp_path_factory: pytest.TempPathFactory, quick: list[str]) -> Path:
    """A run with so many points that its joint ranking is learned; its data set lies beside it. Read only."""
    folder = tmp_path_factory.mktemp("runs")
    data = prepare("planted", folder / "planted", points=1500, labels=120)
    return ramen.train(data, out=folder / "learned", overrides=quick)
