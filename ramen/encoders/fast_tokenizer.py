"""Tokenizes texts with the ids of the static encoder's saved tokenizer, but each distinct word once.

The saved tokenizer marks title words by a regular expression and takes every word of every text apart. Here ASCII texts
are split by a compiled table of words, and only words not seen before are taken apart. Other texts, and those with
several lines or a very long title, go through the saved tokenizer.
"""

from __future__ import annotations

import re

import numpy as np
from tokenizers import Tokenizer

from ramen.encoders.base import Tokens
from ramen.encoders.word_table import ALONE, APART, PART, WordTable

_SPACES = b"\t\n\v\f\r "
_MARKED = re.compile(r"[^a-z0-9](?=[a-z0-9])")  # what the normaliser's rule is for one line of ASCII in lower case
_LONGEST_TITLE = 400  # characters, as in that rule


class FastTokenizer:
    """The ids of a tokenizer, faster.

    Args:
        tokenizer: the static encoder's, see :func:`ramen.encoders.vocabulary.assemble`.
        mark: precedes title words.
    """

    def __init__(self, tokenizer: Tokenizer, mark: str) -> None:
        self._tokenizer, self._mark = tokenizer, mark
        self._words = WordTable(ascii_classes())
        self._entries: dict[str, int] = tokenizer.get_vocab()
        self._longest = tokenizer.model.max_input_chars_per_word
        self._cuts = '"Split"' in tokenizer.pre_tokenizer.__getstate__().decode()  # runs saved before do not
        self._pieces = Tokens.from_lists([])  # of each word

    def tokenize(self, texts: list[str], max_tokens: int) -> Tokens:
        """Return the ids of a block of texts, the first ``max_tokens`` of each.

        Args:
            texts: ``title\\ncontent`` or one field each.
            max_tokens: what the tokenizer truncates to.
        """
        lines = [self._as_line(text) for text in texts]
        slow = [row for row, line in enumerate(lines) if line is None]
        raws = [b"" if line is None else line.encode() for line in lines]
        words, places = self._words.numbers(b"\n".join(raws))
        self._take_apart()
        ends = np.cumsum(np.fromiter(map(len, raws), np.int64, len(raws)) + 1)
        in_text = np.diff(np.searchsorted(places, ends), prepend=0)  # words
        ids, starts = self._pieces.take(words.astype(np.int64))
        starts = np.append(starts, len(ids))[np.append(0, np.cumsum(in_text))]
        fast = _truncated(Tokens(ids.astype(np.int32), starts), max_tokens)
        if not slow:
            return fast
        encoded = self._tokenizer.encode_batch_fast([texts[row] for row in slow], add_special_tokens=False)
        rest = Tokens.from_lists([encoding.ids for encoding in encoded])
        order = np.arange(len(texts))
        order[slow] = len(texts) + np.arange(len(slow))
        both = Tokens(np.append(fast.ids, rest.ids), np.append(fast.offsets, len(fast.ids) + rest.offsets[1:]))
        return both.some(order)

    def _as_line(self, text: str) -> str | None:
        """Return a text with its title words marked, in lower case; None if it is not a simple one."""
        if not text.isascii():
            return None
        title, _, content = text.lower().partition("\n")
        if "\n" in content or len(title) > _LONGEST_TITLE and content:
            return None
        if not title or not content:
            return title or content
        if not "!" <= content[0] <= "~":
            return None
        return _MARKED.sub(" " + self._mark, " " + title) + "\n" + content

    def _take_apart(self) -> None:
        """Split words that are new in the table into the tokenizer's pieces."""
        lists = [self._pieces_of(word) for word in self._words.words_from(len(self._pieces))]
        fresh = Tokens.from_lists(lists)
        old = self._pieces
        self._pieces = Tokens(np.append(old.ids, fresh.ids), np.append(old.offsets, len(old.ids) + fresh.offsets[1:]))

    def _pieces_of(self, word: str) -> list[int]:
        if word in self._entries and len(word) <= self._longest:
            return [self._entries[word]]
        step = self._longest if self._cuts else len(word)
        parts = [word[at : at + step] for at in range(0, len(word), step)]
        return [token.id for part in parts for token in self._tokenizer.model.tokenize(part)]


def ascii_classes() -> np.ndarray:
    """Return how BERT's pre-tokenizer splits ASCII, uint8 (256,): at spaces, and around every punctuation mark."""
    classes = np.full(256, PART, dtype=np.uint8)
    for code in range(ord("!"), ord("~") + 1):
        if not chr(code).isalnum():
            classes[code] = ALONE
    classes[list(_SPACES)] = APART
    return classes


def _truncated(tokens: Tokens, longest: int) -> Tokens:
    lengths = np.diff(tokens.offsets)
    place = np.arange(len(tokens.ids)) - np.repeat(tokens.offsets[:-1], lengths)
    offsets = np.append(0, np.cumsum(np.minimum(lengths, longest)))
    return Tokens(tokens.ids[place < longest], offsets)
