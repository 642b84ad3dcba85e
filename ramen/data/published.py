"""Looks up the shipped card of a published data set by its sizes and name."""

from __future__ import annotations

from typing import Any

from ramen.data.cards import SIZES, shipped_facts
from ramen.data.dataset import Card, Dataset


def published_facts(dataset: Dataset) -> dict[str, Any]:
    """Return the facts of the shipped card with the sizes of a data set, by name if several match; {} if none does.

    Example:
        ``published_facts(ramen.load_dataset("data/LF-AmazonTitles-131K"))["published"]``
    """
    sizes = dict(zip(SIZES, (len(dataset.train), len(dataset.test), dataset.n_labels), strict=True))
    alike = [facts for facts in shipped_facts().values() if all(facts.get(key) == size for key, size in sizes.items())]
    names = (dataset.card.name, dataset.path.resolve().name)
    named = [facts for facts in alike if facts["name"] in names] or alike
    if len(named) < 2:
        return named[0] if named else {}
    # With titles or full texts: the constants are the same, the published scores differ.
    return {key: value for key, value in named[0].items() if key != "published"}


def constants_warning(card: Card, facts: dict[str, Any]) -> str:
    """Return a warning if A and B of a card differ from the :func:`published_facts` of its data set, else ""."""
    if "A" not in facts or (card.A, card.B) == (facts["A"], facts["B"]):
        return ""
    return (
        f"A {card.A}, B {card.B} ({card.source}), but the card of {facts['name']}, a set of these sizes, has A "
        f"{facts['A']}, B {facts['B']} ({facts['source']}): do not compare PSP, PSnDCG and PSR with published ones"
    )
