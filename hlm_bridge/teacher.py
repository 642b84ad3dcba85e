"""Phase 1: train a large retriever, one encoder for queries and labels, on the task's pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from hlm_bridge.caching import Forward, backward
from hlm_bridge.chain import Chain
from hlm_bridge.config import TeacherConfig
from hlm_bridge.losses import contrastive
from hlm_bridge.pairs import Batch, Pairs
from hlm_bridge.retrieval import Figures, gate, retrieve
from ramen.encoders.base import Tokens
from ramen.encoders.cache import key_of_folder
from ramen.encoders.folder import LABEL_MAP, load_folder, save_folder
from ramen.encoders.transformer import TransformerEncoder
from ramen.errors import InputError
from ramen.transfer import to_device

_PROMPT = "config_sentence_transformers.json"


def train_teacher(chain: Chain) -> dict[str, Any]:
    """Run the phase, unless it is done: ``out/teacher`` holds a sentence-transformers folder and the label map.

    Returns:
        The notes of the phase, with its gate.

    Raises:
        InputError: the backbone does not load, or ``teacher.tuning=lora`` needs peft.
    """
    done = chain.record("teacher")
    if done:
        return done
    settings = chain.config.teacher
    torch.manual_seed(chain.config.seed + settings.seed)
    encoder = TransformerEncoder(settings.backbone, settings.pooling, settings.max_tokens)
    encoder.native_eval = chain.config.vectors.precision == "auto"
    encoder.to("cuda" if torch.cuda.is_available() else "cpu")
    split = chain.split
    queries, labels = encoder.tokenize(chain.teacher_queries), encoder.tokenize(chain.teacher_labels)
    held_out = queries.some(split.held_out_rows)

    def measure(index: np.ndarray) -> Figures:
        return retrieve(encoder.encode(held_out).numpy(), index, split.held_out_targets, chain.filtered[0])

    index = encoder.encode_labels(labels).numpy()
    after = before = measure(index)
    if settings.tuning != "none":
        _tune(chain, encoder, queries, labels, index)
        after = measure(encoder.encode_labels(labels).numpy())
    notes = {"gate": gate("teacher", after, before, chain.config.gate.teacher, "the backbone before training")}
    with chain.writes("teacher", notes) as folder:
        save_folder(encoder, folder)
        _write_prompt(folder, settings.prompt)
    chain.log(
        stage="teacher", **{f"{k} before": v for k, v in notes["gate"]["reference"].items()}, **notes["gate"]["figures"]
    )
    return {**notes}


def _write_prompt(folder: Path, prompt: str) -> None:
    """Save the prompt, so that ``SentenceTransformer(folder).encode_query`` encodes queries as the chain does."""
    path = folder / _PROMPT
    facts = json.loads(path.read_text())
    facts["prompts"] = {**(facts.get("prompts") or {}), "query": prompt}
    path.write_text(json.dumps(facts, indent=2))


def _tune(chain: Chain, encoder: TransformerEncoder, queries: Tokens, labels: Tokens, index: np.ndarray) -> None:
    """Train on the pairs contrastively, all weights or LoRA; ``index`` holds the label vectors before training."""
    settings, split = chain.config.teacher, chain.split
    if settings.tuning == "lora":
        encoder.model = add_lora(encoder.model, settings)
    if not settings.label_map:
        encoder.label_map.requires_grad_(False)
    seed = chain.config.seed + settings.seed
    pairs = Pairs(
        split.targets,
        chain.not_negative,
        split.train_rows,
        settings.batch_size,
        settings.negatives,
        seed,
        settings.max_pairs,
    )
    margin = settings.margin if settings.loss == "qwen3" else None
    of_rows = queries.some(pairs.rows)

    def step(number: int) -> tuple[torch.Tensor, dict[str, float]]:
        if settings.negatives and number % settings.mine_every == 0:
            current = encoder.encode_labels(labels).numpy() if number else index
            pairs.mine(encoder.encode(of_rows).numpy(), current, settings.nearest)
        batch = pairs.batch(number)
        return contrast(encoder, queries, labels, batch, settings.temperature, margin, settings.chunk), {}

    steps = settings.epochs * pairs.per_epoch
    chain.train(encoder, encoder.parameter_groups(settings.lr), steps, step, "teacher", seed, pairs)
    if settings.tuning == "lora":
        encoder.model = encoder.model.merge_and_unload()


def contrast(
    encoder: TransformerEncoder,
    queries: Tokens,
    labels: Tokens,
    batch: Batch,
    temperature: float,
    margin: float | None,
    chunk: int,
) -> torch.Tensor:
    """Backpropagate the contrastive loss of a batch into the encoder of both sides; returns the detached loss."""

    def loss(q: torch.Tensor, d: torch.Tensor, h: torch.Tensor | None = None) -> torch.Tensor:
        masks = to_device(batch.not_negative, q.device), to_device(batch.not_negative_hard, q.device)
        return contrastive(q, d, masks[0], temperature, margin, h, masks[1])

    def of(tokens: Tokens, rows: np.ndarray, as_labels: bool) -> Forward:
        def encode(part: slice) -> torch.Tensor:
            vectors = encoder(tokens, rows[part])
            return encoder.as_labels(vectors) if as_labels else vectors

        return encode

    sets = [(of(queries, batch.points, False), len(batch.points)), (of(labels, batch.labels, True), len(batch.labels))]
    if len(batch.hard_negatives):
        sets.append((of(labels, batch.hard_negatives, True), len(batch.hard_negatives)))
    return backward(sets, loss, chunk)


def add_lora(model: Any, settings: TeacherConfig) -> Any:
    """Return the model with LoRA adapters on its linear layers, the only trainable weights.

    Raises:
        InputError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError("teacher.tuning=lora needs peft: pip install 'ramen-xc[hlm]'") from None
    rank = settings.lora_rank
    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


class Teacher:
    """A trained teacher that encodes texts.

    Args:
        folder: ``out/teacher``.
        max_tokens: longer texts are truncated.
        native: compute in bfloat16 where the hardware supports it natively.

    Attributes:
        key: a hash of its files, which identifies a store of its vectors.
        dim: of its vectors.

    Raises:
        InputError: the folder is damaged.
    """

    def __init__(self, folder: Path, max_tokens: int, native: bool = True) -> None:
        self.folder, self.max_tokens, self.native = folder, max_tokens, native
        key = key_of_folder(str(folder))
        if key is None:
            raise InputError(f"{folder}: expected a teacher's weights, found none")
        self.key = f"{key}-{max_tokens}"
        self.dim = int(json.loads((folder / "1_Pooling/config.json").read_text())["embedding_dimension"])
        self._encoder: TransformerEncoder | None = None

    @property
    def encoder(self) -> TransformerEncoder:
        """The encoder, loaded on first use; never loaded if the store is complete."""
        if self._encoder is None:
            encoder = load_folder(self.folder, self.max_tokens)
            if not isinstance(encoder, TransformerEncoder):
                raise InputError(f"{self.folder}: expected a transformer, found {type(encoder).__name__}")
            encoder.native_eval = self.native
            self._encoder = encoder.to("cuda" if torch.cuda.is_available() else "cpu")
        return self._encoder

    def encode(self, texts: list[str]) -> np.ndarray:
        """Encode texts, with their prompts, into unit vectors, float32 (n, dim)."""
        return self.encoder.encode(self.encoder.tokenize(texts)).numpy()

    def as_labels(self, vectors: np.ndarray) -> np.ndarray:
        """Map vectors of label texts to label vectors by the label map, if there is one."""
        path = self.folder / LABEL_MAP
        if not path.exists():
            return vectors
        mapped = vectors + vectors @ load_file(path)["weight"].numpy().T
        return mapped / np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), 1e-12)
