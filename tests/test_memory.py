"""How much memory there is."""

from ramen.memory import available_memory


def test_this_machine_has_memory():
    assert 1e8 < available_memory() < 1e14
