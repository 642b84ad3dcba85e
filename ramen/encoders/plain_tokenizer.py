"""The rule of :func:`ramen.text.plain` within a tokenizer, so that it travels with a saved encoder."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece

from ramen.text import INVISIBLE, RAISED

_PATTERN = f"[{INVISIBLE}]"


def plain_steps(form: Any = normalizers.NFKC) -> list[Any]:
    """Return normalisers that do what :func:`ramen.text.plain` does; NFKD then has marks as characters."""
    raised = normalizers.Replace(Regex(f"[{RAISED}]"), " ")
    return [normalizers.Replace(Regex(_PATTERN), ""), raised, form()]


def cut_runs(longest: int) -> Any:
    """Return a pre-tokenizer that cuts a run without a space, as Thai or a key has, instead of its being unknown."""
    return pre_tokenizers.Split(Regex(f".{{1,{longest}}}"), "isolated")


def reading_any_text(tokenizer: Any) -> Any:
    """Return a backbone's tokenizer that reads any form of a text alike, and long runs without a space too.

    Texts in ASCII without such runs keep their ids. A slow tokenizer, and one with the rules, is returned as it is.

    Args:
        tokenizer: of transformers.

    Example:
        ``reading_any_text(AutoTokenizer.from_pretrained(folder))``
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or (backend.normalizer is not None and _PATTERN in str(backend.normalizer)):
        return tokenizer
    own = [] if backend.normalizer is None else [backend.normalizer]
    backend = Tokenizer.from_str(backend.to_str())
    backend.normalizer = normalizers.Sequence([*plain_steps(), *own])
    if isinstance(backend.model, WordPiece) and backend.pre_tokenizer is not None:
        longest = backend.model.max_input_chars_per_word
        backend.pre_tokenizer = pre_tokenizers.Sequence([backend.pre_tokenizer, cut_runs(longest)])
    return rebuilt(tokenizer, backend)


def rebuilt(tokenizer: Any, backend: Tokenizer) -> Any:
    """Return a tokenizer with the same special tokens around another backend.

    It is of the general class: BERT's makes its own rules anew whenever it is loaded.

    Args:
        tokenizer: a fast one of transformers.
        backend: what splits texts from now on.
    """
    from transformers import PreTrainedTokenizerFast

    names = ("unk", "pad", "bos", "eos", "cls", "sep", "mask")
    special = {f"{name}_token": getattr(tokenizer, f"{name}_token", None) for name in names}
    general = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        model_input_names=tokenizer.model_input_names,
        **{name: value for name, value in special.items() if value is not None},
    )
    general.init_kwargs["padding_side"] = tokenizer.padding_side
    return general
