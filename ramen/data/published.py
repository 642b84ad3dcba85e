"""What is known of a published data set: the shipped card that its name or its sizes lead to."""

from __future__ import annotations

from typing import Any

from ramen.data.cards import SIZES, shipped_facts
from ramen.data.dataset import Card, Dataset


def known_facts(dataset: Dataset) -> dict[str, Any]:
    """Facts of the shipped card with the sizes of a data set, by its name if several have them; {} where none has.

    Example:
        ``known_facts(ramen.load_dataset("data/LF-AmazonTitles-131K"))["published"]``
    """
    sizes = dict(zip(SIZES, (len(dataset.train), len(dataset.test), dataset.n_labels), strict=True))
    alike = [facts for facts in shipped_facts().values() if all(facts.get(key) == size for key, size in sizes.items())]
    names = (dataset.card.name, dataset.path.resolve().name)
    named = [facts for facts in alike if facts["name"] in names] or alike
    if len(named) < 2:
        return named[0] if named else {}
    # By titles or with contents: one set of constants, but figures of their own.
    return {key: value for key, value in named[0].items() if key != "published"}


def constants_warning(card: Card, facts: dict[str, Any]) -> str:
    """One line where a card's A and B are others than those among the :func:`known_facts` of its data set, or ""."""
    if "A" not in facts or (card.A, card.B) == (facts["A"], facts["B"]):
        return ""
    return (
        f"A {card.A}, B {card.B} ({card.source}), but the card of {facts['name']}, a set of these sizes, has A "
        f"{facts['A']}, B {facts['B']} ({facts['source']}): PSP, PSnDCG and PSR do not compare with published ones"
    )
