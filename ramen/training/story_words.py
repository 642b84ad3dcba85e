"""Figures of a training in words and tables."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TEST = ("P@1", "P@5", "nDCG@5", "PSP@5", "R@10")
_VALIDATION = ("P@1", "P@5", "PSP@5", "R@10")
VALIDATION = "validation is the geometric mean of P@1, P@5, PSP@5 and R@10 on the held-out points, in percent"


def duration(seconds: float) -> str:
    """Return a duration that is no more exact than it can be.

    Example:
        >>> [duration(seconds) for seconds in (7.2, 130, 9000)]
        ['7 s', '2 min 10 s', '2 h 30 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: float | None) -> str:
    """Return a loss with three digits."""
    return "?" if value is None else f"{value:.3g}"


def indented(text: str) -> str:
    """Return lines that are indented by two spaces."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def sizes(plan: Mapping[str, Any]) -> str:
    """Return what is trained on, and with which preset."""
    test = f"{plan['test_points']:,} test texts" if plan["test_points"] else "no test split"
    graphs = f"graphs: {', '.join(plan['graphs'])}" if plan["graphs"] else "no graphs"
    pairs = plan["pairs"] / max(1, plan["points"])
    return (
        f"{plan['points']:,} training texts, {test}; {plan['labels']:,} labels, {pairs:.1f} per text; {graphs}; "
        f"preset {plan['preset']}"
    )


def plan(stages: Sequence[Mapping[str, Any]]) -> str:
    """Return the stages with their shares of the time.

    Example:
        >>> print(plan([{"does": "read the data", "share": 0.05}, {"does": "train", "share": 0.95}]))
        plan, with estimated shares of the time
          1 of 2  read the data    5 %
          2 of 2  train           95 %
    """
    width = max(len(stage["does"]) for stage in stages)
    rows = [
        f"  {at} of {len(stages)}  {stage['does']:<{width}} {100 * stage['share']:4.0f} %"
        for at, stage in enumerate(stages, 1)
    ]
    return "\n".join(["plan, with estimated shares of the time", *rows])


def skipped(first: int, last: int) -> str:
    """Return which stages a resumed run need not do again."""
    return f"stage {first}: done before" if first == last else f"stages {first} to {last}: done before"


def value(figures: Mapping[str, Any]) -> str:
    """Return the value that searches maximise and the metrics that it is the geometric mean of.

    Example:
        >>> value({"value": 38.97, "P@1": 54.386, "P@5": 16.579, "PSP@5": 42.518, "R@10": 66.928})
        '39.0 (P@1 54.4, P@5 16.6, PSP@5 42.5, R@10 66.9)'
    """
    metrics = ", ".join(f"{name} {figures[name]:.1f}" for name in _VALIDATION if figures.get(name) is not None)
    return f"{figures['value']:.1f} ({metrics})"


def measurement(figures: Mapping[str, Any]) -> str:
    """Return a measurement of the encoder while it trains."""
    best = "the best so far" if figures["best"] else "not better"
    return f"epoch {figures.get('epoch', '?')}, validation of the encoder alone: {value(figures)}, {best}"


def stopped_early(figures: Mapping[str, Any]) -> str:
    """Return when training was ended, and why.

    Example:
        >>> stopped_early({"epoch": 7, "measurements": 2, "best_step": 40})
        'stopped early at epoch 7: validation has not improved for 2 measurements; back to the weights of step 40'
    """
    many = f"{figures['measurements']} measurement{'s' * (figures['measurements'] > 1)}"
    back = f"back to the weights of step {figures['best_step']}"
    return f"stopped early at epoch {figures.get('epoch', '?')}: validation has not improved for {many}; {back}"


def trial(figures: Mapping[str, Any]) -> str:
    """Return one try of a scorer's hyperparameters.

    Example:
        >>> facts = {"scorer": "sparse", "features": "words", "C": 1.2, "anchors": "", "prior": 1.0}
        >>> trial({**facts, "kept": False, "value": 38.97, "P@1": 54.386})
        'sparse, words, C 1.2, no anchors: 39.0 (P@1 54.4), rejected'
    """
    tried = [str(figures["scorer"])]
    if "features" in figures:
        anchors = str(figures.get("anchors") or "")
        tried += [figures["features"], f"C {figures['C']:g}", f"anchors {anchors}" if anchors else "no anchors"]
    if "temperature" in figures:
        tried.append(f"temperature {figures['temperature']:g}")
    if "epoch" in figures:
        tried.append(f"epoch {figures['epoch']}, loss {number(figures['loss'])}")
    verdict = {True: ", kept", False: ", rejected"}.get(figures.get("kept"), "")  # type: ignore[arg-type]
    return f"{', '.join(tried)}: {value(figures)}{verdict}"


def decision(figures: Mapping[str, Any]) -> str:
    """Return what a search decided, and why.

    Example:
        >>> decision({"decision": "sum", "weights": {"encoder": 0.5, "sparse": 1.0}, "left_out": [], "value": 40.0})
        'weighted sum: encoder 0.5, sparse 1'
    """
    if figures["decision"] == "graphs":
        return _graphs(figures)
    if figures["decision"] == "sum":
        parts = ", ".join(f"{name} {weight:g}" for name, weight in figures["weights"].items() if weight)
        names = figures["left_out"]
        them = "it" if len(names) == 1 else "them"
        without = f"; {' and '.join(names)} left out, as the sum is no better with {them}" if names else ""
        return f"weighted sum: {parts}{without}"
    name = figures["decision"]
    gain = figures["value"] - figures["value_without"]
    if figures["kept"]:
        epochs = f", after {figures['epochs']} epochs" if "epochs" in figures else ""
        return f"the {name} scorer is used{epochs}: with it validation is {gain:.1f} better"
    both = f"{figures['value']:.1f} with it, {figures['value_without']:.1f} without"
    return f"the {name} scorer was left out: {_without(gain)} ({both})"


def decisions(log: Path) -> list[str]:
    """Return what the search of a run decided, in words and in order; nothing for a run without a log.

    Args:
        log: ``log.jsonl`` of a run; the decisions after which it was resumed stand once.

    Example:
        ``decisions(Path("runs/a/log.jsonl"))``
    """
    if not log.is_file():
        return []
    found: dict[str, str] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # the last line of a training that was killed
            figures = json.loads(line)
            if isinstance(figures, dict) and "decision" in figures:
                found[figures["decision"]] = decision(figures)
    return list(found.values())


def _without(gain: float) -> str:
    if gain < -0.05:
        return f"without it validation is {-gain:.1f} better"
    if gain < 0.05:
        return "validation is no better with it"
    return f"validation is only {gain:.1f} better with it"


def _graphs(figures: Mapping[str, Any]) -> str:
    gain, errors = figures["value"] - figures["value_without"], figures["errors"]
    sure = f"{abs(errors):.1f} standard errors"
    ahead = (
        f"the joint ranking of the held-out points is {abs(gain):.1f} {'better' if gain >= 0 else 'worse'} with them"
    )
    if figures["kept"]:
        return f"the graphs are used: {ahead} ({sure})"
    behind = figures.get("behind_in") or []
    also = f"; {' and '.join(behind)} clearly worse" if behind else ""
    chance = ", which may be chance" if errors >= 0 and not behind else ""
    return f"the graphs were left out of the encoder: {ahead} ({sure}){chance}{also}"


def chosen(figures: Mapping[str, Any]) -> str:
    """Return which joint ranking was chosen.

    Example:
        >>> chosen({"chosen": "weighted sum", "value": 39.0, "value_of_sum": 39.0})
        'chosen: the weighted sum; validation 39.0'
        >>> chosen({"chosen": "200 trees, binary", "value": 40.5, "value_of_sum": 39.0})
        'chosen: 200 trees, binary; validation 40.5, which is 1.5 better than the weighted sum'
    """
    if figures["chosen"] == "weighted sum":
        return f"chosen: the weighted sum; validation {figures['value']:.1f}"
    gain = figures["value"] - figures["value_of_sum"]
    better = f"which is {abs(gain):.1f} {'better' if gain >= 0 else 'worse'} than the weighted sum"
    return f"chosen: {figures['chosen']}; validation {figures['value']:.1f}, {better}"


def alone(values: Mapping[str, float]) -> str:
    """Return the validation of each scorer by itself."""
    return ", ".join(f"{name} {of:.1f}" for name, of in values.items())


def test_table(tests: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the test split, a row for each ranking.

    Example:
        >>> row = {"P@1": 39.86, "P@5": 15.24, "nDCG@5": 44.66, "PSP@5": 34.11, "R@10": 54.85, "points": 143}
        >>> print(test_table({"joint": row, "encoder": {**row, "P@1": 29.37}}))
        test split, 143 texts, percent
                      P@1    P@5 nDCG@5  PSP@5   R@10
          joint      39.9   15.2   44.7   34.1   54.9
          encoder    29.4   15.2   44.7   34.1   54.9
        >>> f1 = {"threshold": 0.3127, "micro-F1": 48.1, "micro-precision": 50.2, "micro-recall": 46.2}
        >>> print(test_table({"joint": {**row, **f1}}).splitlines()[-1])
          micro-F1 48.1 (precision 50.2, recall 46.2) with the labels from probability 0.313 on (--threshold auto)
    """
    points = next((figures["points"] for figures in tests.values() if "points" in figures), None)
    head = "test split, percent" if points is None else f"test split, {points:,} texts, percent"
    width = max(len(name) for name in tests) + 1
    rows = [" " * (width + 2) + "".join(f"{name:>7}" for name in _TEST)]
    for name, figures in tests.items():
        rows.append(f"  {name:<{width}}" + "".join(f"{figures[metric]:7.1f}" for metric in _TEST))
    rows += [f"  {_f1(figures)}" for figures in tests.values() if "threshold" in figures]
    return "\n".join([head, *rows])


def _f1(figures: Mapping[str, Any]) -> str:
    rates = f"precision {figures['micro-precision']:.1f}, recall {figures['micro-recall']:.1f}"
    labels = f"with the labels from probability {figures['threshold']:.3f} on (--threshold auto)"
    return f"micro-F1 {figures['micro-F1']:.1f} ({rates}) {labels}"
