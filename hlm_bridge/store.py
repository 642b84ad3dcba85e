"""On-disk store of a teacher's vectors by text, in float16 shards: later phases need not run the teacher."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ramen.errors import InputError, WorkError
from ramen.files import digest, replacing

FORMAT = 1
_INDEX = "store.json"
_SAMPLE = 60  # characters of a text in a message


class VectorStore:
    """Memory-mapped, checksummed vectors of texts, keyed by model and text.

    Memory use is 24 bytes per text, whatever the dimension: 240 MB for ten million texts.

    Example:
        ``store = VectorStore.open(Path("vectors"), teacher.key, 384); store.fill(texts, teacher.encode)``
    """

    def __init__(self, folder: Path, model: str, dim: int, shard: int) -> None:
        self.folder, self.model, self.dim, self.shard = folder, model, dim, shard
        self._shards: list[dict[str, Any]] = []
        self._vectors: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []
        self._index()

    @classmethod
    def open(cls, folder: Path, model: str, dim: int, shard: int = 16_384) -> VectorStore:
        """Open a store, or create an empty one; reads every shard once to verify its checksum.

        Args:
            folder: of the store.
            model: hash of the teacher.
            dim: of the vectors.
            shard: number of texts in a new shard.

        Raises:
            InputError: the store is of another model, dimension or format, or a shard is missing, truncated or altered.
        """
        store = cls(folder, model, dim, shard)
        path = folder / _INDEX
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            return store
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            header = {name: stored[name] for name in ("format", "model", "dim")}
            shards = [{name: shard[name] for name in ("count", "keys", "vectors")} for shard in stored["shards"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: not the index of a store: {error!r}; remove {folder} to compute it again"
            ) from error
        for name, wanted in (("format", FORMAT), ("model", model), ("dim", dim)):
            if header[name] != wanted:
                raise InputError(
                    f"{path}: a store of {name} {header[name]}, expected {wanted}; remove {folder} to compute it again"
                )
        for entry in shards:
            store._add(entry)
        store._index()
        return store

    def __len__(self) -> int:
        return sum(entry["count"] for entry in self._shards)

    def fill(self, texts: Sequence[str], encode: Callable[[list[str]], np.ndarray]) -> int:
        """Compute the missing vectors, one shard at a time; completed shards survive an interruption.

        Args:
            texts: duplicates are encoded once.
            encode: returns unit vectors, float32 (n, dim), of n texts.

        Returns:
            The number of vectors computed.

        Raises:
            WorkError: vectors have another shape or are not finite, or another process is filling the store.
        """
        keys = _keys(texts)
        fresh = np.unique(keys, return_index=True)[1]
        missing = np.sort(fresh[self._find(keys[fresh]) < 0])
        if not len(missing):
            return 0
        with self._locked(), tqdm(total=len(missing), desc="vectors", unit="text", disable=None, leave=False) as bar:
            for first in range(0, len(missing), self.shard):
                rows = missing[first : first + self.shard]
                vectors = np.asarray(encode([texts[row] for row in rows]))
                is_finite = bool(np.isfinite(vectors).all())
                if vectors.shape != (len(rows), self.dim) or not is_finite:
                    raise WorkError(
                        f"{self.folder}: the teacher gave {vectors.shape} for {len(rows)} texts"
                        f"{'' if is_finite else ', some not finite'}, expected finite vectors of {self.dim}"
                    )
                self._write(keys[rows], vectors)
                bar.update(len(rows))
        self._index()
        return len(missing)

    def rows(self, texts: Sequence[str]) -> np.ndarray:
        """Return the row of each text's vector, int64 (n,).

        Raises:
            InputError: a text has no vector.
        """
        rows = self._find(_keys(texts))
        if (rows < 0).any():
            text = texts[int(np.argmax(rows < 0))]
            shown = text if len(text) <= _SAMPLE else text[:_SAMPLE] + "..."
            raise InputError(f"{self.folder}: no vector of {shown!r} and {int((rows < 0).sum()) - 1:,} other texts")
        return rows

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the unit vectors of rows, in their order, float32 (n, dim)."""
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        of_shard = np.searchsorted(self._ends, rows, side="right")
        for shard in np.unique(of_shard):
            here = of_shard == shard
            first = self._ends[shard] - self._shards[shard]["count"]
            out[here] = self._vectors[shard][rows[here] - first]
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)

    def _find(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each key, -1 if missing."""
        if not len(self._sorted):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._order[at], -1)

    def _index(self) -> None:
        keys = np.concatenate([*self._keys, np.empty(0, np.uint64)])
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        self._ends = np.cumsum([entry["count"] for entry in self._shards], dtype=np.int64)

    def _paths(self, number: int) -> dict[str, Path]:
        return {name: self.folder / f"{number:05d}.{name}.npy" for name in ("keys", "vectors")}

    def _add(self, entry: dict[str, Any]) -> None:
        """Verify and map a shard that the index lists."""
        arrays = {}
        hint = f"remove {self.folder} to compute it again"
        for name, path in self._paths(len(self._shards)).items():
            if not path.is_file():
                raise InputError(f"{path}: missing, expected {entry['count']:,} rows; {hint}")
            if digest(path) != entry[name]:
                raise InputError(f"{path}: truncated or altered (its hash differs from the index's); {hint}")
            arrays[name] = np.load(path, mmap_mode="r" if name == "vectors" else None, allow_pickle=False)
        if arrays["vectors"].shape != (entry["count"], self.dim) or arrays["keys"].shape != (entry["count"],):
            raise InputError(f"{path}: expected {entry['count']:,} rows of {self.dim}; {hint}")
        self._shards.append(entry)
        self._keys.append(arrays["keys"])
        self._vectors.append(arrays["vectors"])

    def _write(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Write a shard, then add it to the index; a shard missing from the index is overwritten."""
        entry: dict[str, Any] = {"count": len(keys)}
        for (name, path), array in zip(
            self._paths(len(self._shards)).items(), (keys, vectors.astype(np.float16)), strict=True
        ):
            with replacing(path) as part, part.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            entry[name] = digest(path)
        stored = {"format": FORMAT, "model": self.model, "dim": self.dim, "shards": [*self._shards, entry]}
        with replacing(self.folder / _INDEX) as part:
            part.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        self._add(entry)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkError(f"{self.folder}: another process is filling this store") from None
            yield


def _keys(texts: Sequence[str]) -> np.ndarray:
    """Return a 64-bit hash of each text; ten million texts have a collision with a probability of 3 in a million."""
    digests = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)
