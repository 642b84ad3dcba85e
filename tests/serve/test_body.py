"""Bodies: how many values they may hold, and how much may arrive at once."""

import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")

from ramen.serve.access import Refused  # noqa: E402
from ramen.serve.body import BodyReader, has_more_values  # noqa: E402
from ramen.serve.limits import Limits  # noqa: E402

VALUES = st.recursive(
    st.text() | st.integers() | st.none() | st.sampled_from(['"', "\\", '\\"', ",", '",']),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def commas(value):
    """Commas between the values of a JSON text."""
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return max(0, len(value) - 1) + sum(commas(one) for one in inner)
    return 0


@given(VALUES, st.booleans())
def test_values_are_counted_whatever_their_texts_hold(value, is_ascii):
    body, n = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass"), commas(value)
    assert not has_more_values(body, max(n + 1, 200))
    if n:
        assert has_more_values(body, n)


@given(st.lists(st.text(), min_size=1, max_size=50))
def test_a_request_of_few_texts_passes(texts):
    body = json.dumps({"texts": texts, "k": 5, "why": True}).encode()
    assert not has_more_values(body, len(texts) + 4)


@pytest.mark.parametrize(
    "body",
    [
        b'{"texts":[' + b"1," * 1_900_000 + b"1]}",
        b'{"texts":[' + b"[]," * 1_300_000 + b"[]]}",
        b'{"texts":[' + b'"",' * 1_300_000 + b'""]}',
        b'{"texts":[],' + b",".join(b'"%d":1' % n for n in range(300_000)) + b"}",
    ],
    ids=["numbers", "lists", "texts", "keys"],
)
def test_millions_of_values_are_refused_before_they_are_parsed(body):
    async def read():
        async def receive():
            return {"type": "http.request", "body": body}

        began = time.process_time()
        with pytest.raises(Refused) as error:
            await BodyReader(Limits()).read([(b"content-type", b"application/json")], receive)
        return error.value, time.process_time() - began

    refused, seconds = asyncio.run(read())
    assert refused.status == 413 and refused.error.startswith("texts: expected at most 1,000")
    assert seconds < 5  # a minute before


def test_bodies_that_arrive_at_once_share_a_limit():
    reader = BodyReader(Limits(body=100, bodies=150))

    async def slow(release):
        parts = [b"1" * 90, b"2" * 5]

        async def receive():
            if len(parts) == 1:
                await release.wait()
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        return await reader.read([(b"content-type", b"application/json")], receive)

    async def whole():
        release = asyncio.Event()
        first = asyncio.create_task(slow(release))
        await asyncio.sleep(0.01)
        with pytest.raises(Refused) as error:
            await slow(release)
        assert error.value.status == 503
        release.set()
        assert len(await first) == 95 and len(await slow(release)) == 95
        assert reader.pending == 0

    asyncio.run(whole())
