"""What a training tells people: the plan, each stage, what was decided and why, and what came out.

It listens to the log and says what its figures say; whatever it needs is in the lines of ``log.jsonl``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ramen.progress import say
from ramen.timing import time_table
from ramen.training import story_words as words

_SURE_SHARE = 0.3  # of the time, by the plan, from which what is left can be estimated
_WORTH_SAYING = 5.0  # seconds left


class Story:
    """A listener of :class:`ramen.training.log.Log`.

    Args:
        tell: called with each line; by default it is written to stderr, above a progress bar.

    Example:
        >>> story = Story(print)
        >>> story({"stage": "search", "decision": "dense", "kept": False, "value": 38.6, "value_without": 39.0})
          the dense scorer was left out: without it validation is 0.4 better (38.6 with it, 39.0 without)
    """

    def __init__(self, tell: Callable[[str], None] = say) -> None:
        self._tell = tell
        self._plan: dict[str, Any] = {"stages": []}
        self._number = 0  # of the present stage
        self._first_loss: float | None = None
        self._steps = 0
        self._tests: dict[str, Mapping[str, float]] = {}
        self._tellers = {
            "plan": self._begin_run, "begin": self._begin, "schedule": self._schedule, "encoder": self._encoder,
            "validate": self._validate, "search": self._search, "rank": self._rank, "test": self._test,
            "time": self._end,
        }  # fmt: skip

    def __call__(self, figures: Mapping[str, Any]) -> None:
        """Tell what a line of the log says, if it is for people."""
        if figures.get("warning"):
            self._tell(f"  warning: {figures['warning']}")
        elif figures.get("stage") in self._tellers:
            self._tellers[figures["stage"]](figures)
        elif figures.get("note"):
            self._tell(f"  {figures['note']}")

    def _begin_run(self, plan: Mapping[str, Any]) -> None:
        self._plan, self._number = dict(plan), 1
        self._tell(words.sizes(plan))
        self._tell("")
        self._tell(words.plan(plan["stages"]))
        if any(stage["name"] == "scorers" for stage in plan["stages"]):
            self._tell(words.VALIDATION)

    def _begin(self, figures: Mapping[str, Any]) -> None:
        names = [stage["name"] for stage in self._plan["stages"]]
        if figures["name"] not in names:
            return
        before, self._number = self._number, names.index(figures["name"]) + 1
        stages = self._plan["stages"]
        self._tell("")
        if self._number > before + 1:
            self._tell(words.skipped(before + 1, self._number - 1))
        left = "" if self._number > before + 1 else self._time_left(figures["elapsed"])
        does = stages[self._number - 1]["does"]
        self._tell(f"stage {self._number} of {len(stages)}: {does}{left}")

    def _time_left(self, elapsed: float) -> str:
        """How long the rest may take, by the share of the time that is over according to the plan."""
        done = sum(stage["share"] for stage in self._plan["stages"][: self._number - 1])
        left = elapsed * (1 - done) / max(done, 1e-9)
        return f" (about {words.duration(left)} left)" if done >= _SURE_SHARE and left >= _WORTH_SAYING else ""

    def _schedule(self, figures: Mapping[str, Any]) -> None:
        self._first_loss, self._steps = None, int(figures["steps"])
        self._tell(f"  {figures.get('training', 'encoder')}: {figures['note']}")

    def _encoder(self, figures: Mapping[str, Any]) -> None:
        if self._first_loss is None:
            self._first_loss = figures["loss"]
        if figures["step"] == self._steps:
            self._tell(f"    trained: loss {words.number(self._first_loss)} -> {words.number(figures['loss'])}")

    def _validate(self, figures: Mapping[str, Any]) -> None:
        self._tell(f"    {words.measurement(figures)}")
        if figures.get("stopped"):
            self._steps = figures["step"]  # the last
            self._tell(f"    {words.stopped_early(figures)}")

    def _search(self, figures: Mapping[str, Any]) -> None:
        if "decision" in figures:
            self._tell(f"  {words.decision(figures)}")
        elif "graphs" in figures:
            self._tell(f"    validation, ranked with neighbours and words: {words.value(figures)}")
        elif "scorer" in figures and "value" in figures:
            self._tell(f"  {words.trial(figures)}")
        elif figures.get("note"):
            self._tell(f"  {figures['note']}")

    def _rank(self, figures: Mapping[str, Any]) -> None:
        if "chosen" in figures:
            self._tell(f"  {words.chosen(figures)}")
            self._tell(f"  each scorer alone: {words.alone(figures['alone'])}")
        elif "model" in figures:
            self._tell(f"  {figures['model']}: {words.value(figures)}")
        elif figures.get("note"):
            self._tell(f"  {figures['note']}")

    def _test(self, figures: Mapping[str, Any]) -> None:
        self._tests[str(figures["ranking"])] = figures

    def _end(self, figures: Mapping[str, Any]) -> None:
        if self._tests:
            self._tell(f"\n{words.test_table(self._tests)}")
        self._tell(f"\ntime\n{words.indented(time_table(figures['seconds']))}")
        run = self._plan.get("run")
        if run is None:
            return
        self._tell(f"\nthe run is in {run}")
        commands = [["tag", run, "a text to tag"], ["serve", run]]
        if self._plan.get("data") and self._tests:
            commands.append(["eval", run, "--data", self._plan["data"]])
        for command in commands:
            self._tell("next: " + shlex.join(["ramen", *command]))
