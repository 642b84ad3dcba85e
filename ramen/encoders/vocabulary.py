"""The static encoder's tokenizer: a backbone's word pieces plus the corpus's own frequent words, title words apart.

Word pieces lose exact names (``libghc`` becomes ``lib ##gh ##c``), so words that the corpus repeats get an entry of
their own. A word in the title gets an id of its own too (``ːbattery`` beside ``battery``), so that one bag of ids can
weigh the two fields differently. The rule lives in the tokenizer's normaliser and travels with the saved encoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece

from ramen.encoders.fast_tokenizer import FastTokenizer, ascii_classes
from ramen.encoders.plain_tokenizer import cut_runs, plain_steps
from ramen.encoders.word_table import WordTable

MARK = "\u02d0"  # a letter, so that no pre-tokenizer splits it off, and one that texts do not use
_MARKS = [chr(code) for code in (*range(0x300, 0x370), 0x3099, 0x309A)]  # a text to tag may have any of them
_BLOCK = 8192  # texts counted at a time
LONGEST = 64  # characters of a word that is taken apart as one
_MAX_WORD = 40  # characters; longer "words" are hashes and keys
# A character before a word of the first field: one that a newline and more text follow within 400 characters (bounded,
# so that a long text costs linear time). The character itself (a space, a hyphen, a bracket) is dropped.
_TITLE_WORD = Regex(r"[^\p{L}\p{M}\p{N}\n](?=[\p{L}\p{N}][^\n]{0,400}\n\s{0,9}\S)")


@dataclass
class Vocabulary:
    """A tokenizer and the entries of its ids.

    Attributes:
        tokenizer: gives ids below ``size`` for plain words, and title ids from ``size`` on.
        words: the plain entries, in id order (length ``size``); continuation pieces start with ``##``.
        title_of: int64, for each title id minus ``size`` the plain id of the same word.
    """

    tokenizer: Tokenizer
    words: list[str]
    title_of: np.ndarray

    @property
    def size(self) -> int:
        """Return the number of plain entries."""
        return len(self.words)

    @property
    def plain_of(self) -> np.ndarray:
        """Return the plain id of every id, int64 (size + title words)."""
        return np.concatenate([np.arange(self.size, dtype=np.int64), self.title_of])

    @cached_property
    def fast(self) -> FastTokenizer:
        """Return what gives the tokenizer's ids of many texts."""
        return FastTokenizer(self.tokenizer, MARK)


def build_vocabulary(texts: Iterable[str], pieces: list[str], min_count: int, max_words: int) -> Vocabulary:
    """Build a WordPiece tokenizer from word pieces of a backbone and frequent words of the corpus.

    Args:
        texts: the corpus, ``title\\ncontent`` each.
        pieces: a backbone's word pieces (``##`` continues a word); may be empty.
        min_count: a corpus word needs as many occurrences.
        max_words: at most so many corpus words, the most frequent ones.
    """
    words_and_counts = _counted(texts)
    counted = _frequent(*words_and_counts, min_count)
    words = ["[PAD]", "[UNK]", *(piece for piece in pieces if not _special(piece))]
    entries = set(words)
    frequent = [word for word in counted if len(word) <= _MAX_WORD and word not in entries][:max_words]
    # Every character as a first and as a continuing piece, so that no word is unknown.
    letters = sorted(set(_MARKS).union(*words_and_counts[0], *pieces) - {MARK})
    entries.update(frequent)
    words += frequent + [c for c in letters if c not in entries]
    entries.update(words)
    words += [f"##{c}" for c in letters if f"##{c}" not in entries]
    return assemble(words)


def assemble(words: list[str]) -> Vocabulary:
    """Return the vocabulary with the plain entries ``words``."""
    starts = [i for i, word in enumerate(words) if i > 1 and not word.startswith("##") and any(map(str.isalnum, word))]
    entries = {word: i for i, word in enumerate(words)}
    for offset, i in enumerate(starts):
        entries[MARK + words[i]] = len(words) + offset
    tokenizer = Tokenizer(WordPiece(entries, unk_token="[UNK]", max_input_chars_per_word=LONGEST))
    tokenizer.normalizer = _normalizer(mark_titles=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), cut_runs(LONGEST)])
    return Vocabulary(tokenizer, words, np.array(starts, dtype=np.int64))


def _counted(texts: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """Return the corpus words and how often each occurs."""
    normalizer, splitter = _normalizer(mark_titles=False), pre_tokenizers.BertPreTokenizer()

    def as_words(text: str) -> str:
        if text.isascii():
            return text.lower()
        return " ".join(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))

    table, counts, stream = WordTable(ascii_classes()), np.zeros(0, dtype=np.int64), iter(texts)
    while block := list(islice(stream, _BLOCK)):
        numbers, _ = table.numbers("\n".join(map(as_words, block)).encode())
        more = np.bincount(numbers, minlength=len(table))
        more[: len(counts)] += counts
        counts = more
    return table.words_from(0), counts


def _frequent(words: list[str], counts: np.ndarray, min_count: int) -> list[str]:
    """Return the words with at least ``min_count`` occurrences, the most frequent first."""
    frequent = np.flatnonzero(counts >= min_count).tolist()
    return [words[number] for number in sorted(frequent, key=lambda number: (-counts[number], words[number]))]


def _normalizer(mark_titles: bool) -> normalizers.Normalizer:
    """As :func:`ramen.text.plain` in lower case, so that the saved encoder reads any form of a text alike.

    Marks stay, as they tell words apart, in Japanese (ハス, バス) and Hindi as in German. As characters of their own
    (NFKD) they follow a letter that is known, where é as one may be unknown. clean_text would turn the newline, which
    ends the title, into a space.
    """
    lower = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=True)
    turkish = normalizers.Replace("\u0130", "i")  # as ramen.text.lowered
    steps = [turkish, *plain_steps(normalizers.NFKD), normalizers.Replace(MARK, " "), lower]
    if mark_titles:
        steps += [normalizers.Prepend(" "), normalizers.Replace(_TITLE_WORD, " " + MARK)]
    return normalizers.Sequence(steps)


def _special(piece: str) -> bool:
    return (piece.startswith("[") and piece.endswith("]") and len(piece) > 2) or MARK in piece
