"""Batches: light requests first, heavy ones in parts and by turns, and nothing for those who have gone."""

import asyncio
import os
import time

import pytest

pytest.importorskip("fastapi")

from ramen.serve.batcher import Batcher, BatchRequest, Busy  # noqa: E402
from ramen.serve.limits import Limits, work_of  # noqa: E402

LIMITS = Limits(batch=4, part=2, waiting=100, timeout=5.0)


class Ranker:
    """Answers each text with itself, and remembers what was in which batch."""

    def __init__(self, seconds=0.0):
        self.batches, self.seconds = [], seconds

    def __call__(self, batch):
        time.sleep(self.seconds)
        self.batches.append([list(part.texts) for part in batch])
        return [[[{"uid": text}] for text in part.texts] for part in batch]


def run(work, ranker, limits=LIMITS):
    async def whole():
        batcher = Batcher(ranker, limits)
        batcher.start()
        try:
            return await work(batcher)
        finally:
            await batcher.stop()

    return asyncio.run(whole())


def request(name, n=1, **options):
    return BatchRequest(None, [f"{name}{number}" for number in range(n)], **options)


def answers(records):
    return [labels[0]["uid"] for labels in records]


def test_requests_that_wait_share_a_batch_and_get_their_own_answers():
    async def work(batcher):
        asked = [batcher.submit(request(name, 2)) for name in "abc"]
        return [answers(records) for records in await asyncio.gather(*asked)]

    ranker = Ranker()
    assert run(work, ranker, Limits(batch=100)) == [["a0", "a1"], ["b0", "b1"], ["c0", "c1"]]
    assert ranker.batches == [[["a0", "a1"], ["b0", "b1"], ["c0", "c1"]]]


def test_a_light_request_waits_for_two_batches_at_most():
    async def work(batcher):
        heavy = [asyncio.create_task(batcher.submit(request(name, 30))) for name in "HI"]
        await asyncio.sleep(0.03)
        before = len(ranker.batches)
        assert answers(await batcher.submit(request("light"))) == ["light0"]
        waited = len(ranker.batches) - before
        assert [len(await task) for task in heavy] == [30, 30]
        return waited

    ranker = Ranker(0.01)
    assert run(work, ranker) <= 2
    heavy = [batch[0][0][0] for batch in ranker.batches if batch[0][0][0] in "HI"]
    assert heavy == [*"H" * 30, *"I" * 30]  # a text each; the one with less left first
    assert all(len(texts) <= 2 for batch in ranker.batches for texts in batch)


def test_a_heavy_request_advances_beside_many_light_ones():
    async def work(batcher):
        heavy = asyncio.create_task(batcher.submit(request("H", 6)))
        light = [asyncio.create_task(batcher.submit(request(f"{n}-", 3))) for n in range(20)]
        await heavy
        done = sum(task.done() for task in light)
        await asyncio.gather(*light)
        return done

    assert run(work, Ranker(0.002)) < 20


def test_the_rest_of_a_cancelled_request_is_not_done():
    async def work(batcher):
        heavy = asyncio.create_task(batcher.submit(request("H", 50)))
        await asyncio.sleep(0.05)
        heavy.cancel()
        assert answers(await batcher.submit(request("light"))) == ["light0"]
        return batcher.waiting

    ranker = Ranker(0.01)
    assert run(work, ranker) == pytest.approx(0)
    assert sum(len(texts) for batch in ranker.batches for texts in batch) < 30


def test_long_texts_and_reasons_are_more_work():
    assert work_of("x" * 15_000, 5, False) == pytest.approx(11)
    assert work_of("x", 100, True) > 3 * work_of("x", 100, False)
    heavy = BatchRequest.__new__(BatchRequest)
    heavy.texts, heavy.k, heavy.why, heavy.done = ["x" * 20_000, "a", "b", "c"], 5, False, []
    assert len(heavy.part(2).texts) == 1  # one at least
    heavy.done = [[]]
    assert heavy.part(2.1).texts == ["a", "b"]


def test_too_much_waiting_and_too_long_are_errors():
    async def work(batcher):
        with pytest.raises(Busy):
            await batcher.submit(request("a", 200))
        with pytest.raises(TimeoutError):
            await batcher.submit(request("b", 3))
        return batcher.waiting

    assert run(work, Ranker(0.2), Limits(waiting=100, timeout=0.05)) == pytest.approx(0)


def test_light_requests_find_room_beside_heavy_ones():
    async def work(batcher):
        heavy = asyncio.ensure_future(batcher.submit(request("heavy", 85)))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await batcher.submit(request("heavy", 8))
        light = answers(await batcher.submit(request("light", 3)))
        await heavy
        return light

    assert run(work, Ranker(), Limits(batch=4, part=2, waiting=100)) == ["light0", "light1", "light2"]


def test_an_error_reaches_its_requests_only():
    def ranker(batch):
        if any("bad" in text for part in batch for text in part.texts):
            raise ValueError("broken")
        return [[[{"uid": text}] for text in part.texts] for part in batch]

    async def work(batcher):
        with pytest.raises(ValueError, match="broken"):
            await batcher.submit(request("bad"))
        return answers(await batcher.submit(request("good")))

    assert run(work, ranker) == ["good0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_of_a_started_server_answers_with_an_error(monkeypatch):
    async def work(batcher):
        monkeypatch.setattr("os.getpid", lambda: -1)  # as in a child
        with pytest.raises(RuntimeError, match="forked from a started server"):
            await batcher.submit(request("a"))
        monkeypatch.undo()

    run(work, Ranker())
