"""Write an invented table of support tickets, ``tickets.csv``, and one of their topics, ``topics.csv``.

    python examples/tickets.py [--tickets 300] [--folder .]

Every ticket is about one to three of twelve topics, and every topic belongs to an area. One ticket in ten is filed
under a wrong topic, as happens. The same arguments write the same files.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

# topic: (area, description, what customers write)
TOPICS = {
    "refund": ("billing", "money back for an order or a payment", (
        "I want my money back", "please refund the last payment", "you charged me and I returned the goods")),
    "invoice": ("billing", "bills, receipts and the address on them", (
        "the invoice shows the wrong address", "I need a receipt for my taxes", "no bill came with the order")),
    "payment": ("billing", "cards, transfers and payments that fail", (
        "my credit card was declined", "the bank transfer did not arrive", "I was charged twice")),
    "subscription": ("billing", "plans, renewals and cancelling them", (
        "cancel my plan", "the subscription renewed by itself", "I would like to upgrade to the yearly plan")),
    "login": ("account", "signing in, passwords and codes", (
        "I cannot sign in", "the password reset mail never comes", "the code from the app is not accepted")),
    "profile": ("account", "name, address and other details of the customer", (
        "change my email address", "my name is spelled wrong", "I moved and need a new address")),
    "privacy": ("account", "personal data, its export and deletion", (
        "delete all my personal data", "which data do you keep about me", "send me an export of my data")),
    "delivery": ("orders", "parcels that are late, lost or at the wrong door", (
        "the parcel is late", "tracking has not moved for a week", "the courier left it with a neighbour")),
    "damage": ("orders", "goods that arrive broken", (
        "the screen is cracked", "the box was crushed and a part is broken", "it arrived with a dent")),
    "missing": ("orders", "parts or items that are not in the parcel", (
        "the charger is not in the box", "one of three items is missing", "there were no screws in the bag")),
    "crash": ("app", "the app stops, freezes or shows an error", (
        "the app crashes when I open it", "it freezes on the start screen", "I get an error after the update")),
    "speed": ("app", "the app or the site is slow", (
        "pages take forever to load", "search is very slow today", "the app is laggy on my phone")),
}  # fmt: skip
MISFILED = 0.1  # share of tickets
OPENINGS = ("Hello", "Hi there", "Good morning", "To whom it may concern", "Dear team")
CLOSINGS = ("Thanks", "Please help", "This is the second time I write", "Kind regards", "I am waiting for an answer")


def tickets(number: int) -> list[dict[str, str]]:
    """Return invented tickets: their number, text, and topics between semicolons."""
    rng = random.Random(0)
    rows = []
    for at in range(number):
        topics = rng.sample(sorted(TOPICS), rng.choice((1, 1, 2, 3)))
        said = ", and ".join(rng.choice(TOPICS[topic][2]) for topic in topics)
        text = f"{rng.choice(OPENINGS)}, {said}. {rng.choice(CLOSINGS)}."
        if rng.random() < MISFILED:
            topics[0] = rng.choice(sorted(TOPICS.keys() - topics))
        rows.append({"ticket": f"T{at:04}", "text": text, "topics": ";".join(topics)})
    return rows


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path("."))
    options = parser.parse_args()
    write(options.folder / "tickets.csv", tickets(options.tickets))
    topics = [{"topic": name, "about": about, "area": area} for name, (area, about, _) in TOPICS.items()]
    write(options.folder / "topics.csv", topics)


if __name__ == "__main__":
    main()
