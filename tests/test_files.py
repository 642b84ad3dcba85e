"""Locks of folders: who shares them, who waits and who is refused."""

import threading

import pytest

from ramen.errors import InputError
from ramen.files import locked


def test_readers_share_a_folder_and_writers_do_not(tmp_path):
    with locked(tmp_path, exclusive=False, busy="busy"), locked(tmp_path, exclusive=False, busy="busy"):
        with pytest.raises(InputError, match="^busy$"), locked(tmp_path, exclusive=True, busy="busy"):
            pass
    with locked(tmp_path, exclusive=True, busy="busy"):
        with pytest.raises(InputError, match="^busy$"), locked(tmp_path, exclusive=False, busy="busy"):
            pass
    assert not list(tmp_path.iterdir())


def test_without_a_message_one_waits(tmp_path):
    order = []

    def second():
        with locked(tmp_path, exclusive=True):
            order.append("second")

    with locked(tmp_path, exclusive=True):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
