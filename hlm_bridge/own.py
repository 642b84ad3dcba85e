"""Does the teacher know more than the student would learn by itself?"""

from __future__ import annotations

from typing import Any

from hlm_bridge.align import teacher_figures
from hlm_bridge.chain import Chain
from hlm_bridge.retrieval import kept, percent, retrieve
from hlm_bridge.vectors import Vectors
from ramen.config import load_config
from ramen.encoders.base import Encoder
from ramen.errors import WorkError
from ramen.training.data import prepare
from ramen.training.encoder_loop import train_encoder


def own_training(chain: Chain, vectors: Vectors) -> dict[str, Any] | None:
    """Train a static student on the task's pairs alone and compare the teacher with it.

    Args:
        chain: with ``gate.own`` ``say`` or ``stop``; for a transformer student, whose own training is long, nothing is
            done.
        vectors: of the teacher.

    Returns:
        Figures and a sentence; None where nothing was compared.

    Raises:
        WorkError: ``gate.own=stop``, and beyond chance the student by itself is better in a metric and worse in none.
    """
    if chain.config.gate.own == "off" or chain.config.align.student != "static":
        return None
    found = chain.record("teacher") or {}
    if "own" not in found:
        found["own"] = _compared(chain, vectors)
        chain.note("teacher", found)
    found = found["own"]
    chain.log(stage="teacher", note=found["says"])
    if found["worse"] and chain.config.gate.own == "stop":
        raise WorkError(f"gate: {found['says']}; all phases so far are kept in {chain.out}")
    return found


def _compared(chain: Chain, vectors: Vectors) -> dict[str, Any]:
    config = load_config("static", [f"encoder.max_tokens={chain.config.align.max_tokens}"])
    config.seed = chain.config.seed
    data, encoder = prepare(chain.dataset, config)
    assert isinstance(encoder, Encoder)  # the preset's
    train_encoder(encoder, data, chain.split, {}, None, lambda **line: None)
    queries = encoder.encode(data.tokens["points"]).numpy()[chain.split.held_out]
    index = encoder.encode_labels(data.tokens["labels"]).numpy()
    own = retrieve(queries, index, chain.split.truth, chain.filtered[0])
    teacher = teacher_figures(chain, vectors)
    shares = kept(teacher, own)
    lower = [name for name, share in shares.items() if share["high"] < 1]
    higher = [name for name, share in shares.items() if share["low"] > 1]
    worse = bool(lower) and not higher
    told = ", ".join(f"{name} {value:.1f}" for name, value in percent(teacher).items())
    alone = ", ".join(f"{name} {value:.1f}" for name, value in percent(own).items())
    if worse:
        where = "" if len(lower) == len(shares) else f" in {', '.join(lower)}"
        says = f"the teacher ({told}) is worse{where} than what the student learns by itself ({alone})"
        says += ": expect little of it but what text without labels tells"
    elif higher and not lower:
        says = f"the teacher ({told}) knows more than the student learns by itself ({alone})"
    else:
        says = f"the teacher ({told}) is about as good as what the student learns by itself ({alone})"
    return {"says": says, "worse": worse, "teacher": percent(teacher), "own": percent(own), "shares": shares}
