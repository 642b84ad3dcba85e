"""Messages between the supervisor and a worker."""

import asyncio
import socket

import pytest

from ramen.serve.control import Channel, WorkerSettings
from ramen.serve.limits import Limits


def test_settings_survive_the_way():
    settings = WorkerSettings("run", "name", "id", True, Limits(body=7), "key", ("a", "b"), grace=3.5)
    assert WorkerSettings.of_json(settings.to_json()) == settings


def test_questions_get_their_own_answers_and_silence_is_an_error():
    async def whole():
        ours, theirs = map(Channel.open, socket.socketpair())
        ours, theirs = await ours, await theirs

        async def answer():
            for _ in range(3):
                message = await theirs.receive()
                await theirs.send({"answer": message["question"]})

        answering = asyncio.create_task(answer())
        answers = await asyncio.gather(*(ours.ask({"question": number}, 5) for number in range(3)))
        assert answers == [{"answer": number} for number in range(3)]
        await answering
        with pytest.raises(TimeoutError):
            await ours.ask({"question": 3}, 0.05)
        theirs.close()
        with pytest.raises(ConnectionError):
            await ours.ask({"question": 4}, 5)

    asyncio.run(whole())
