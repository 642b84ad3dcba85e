"""Bits of bfloat16 against the numbers they stand for."""

import numpy as np

from ramen.compiled import kernel
from ramen.mining.bfloat16 import as_float32, widened

NUMBERS = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, 2.0**-133, 3.3895314e38]
BITS = np.array([0, 0x8000, 0x3F80, 0xC020, 0x7F80, 0xFF80, 1, 0x7F7F], dtype=np.uint16)


@kernel
def converted(values, out):
    for at in range(len(values)):
        out[at] = as_float32(values[at])


def test_every_bit_pattern_has_its_number():
    expected = np.array(NUMBERS, dtype=np.float32)
    np.testing.assert_array_equal(widened(BITS).view(np.uint32), expected.view(np.uint32))
    for values in (BITS, expected):
        out = np.empty(len(values), dtype=np.float32)
        converted(values, out)
        np.testing.assert_array_equal(out.view(np.uint32), expected.view(np.uint32))


def test_widens_into_the_room_it_is_given():
    room = np.empty((2, 4), dtype=np.float32)
    assert widened(BITS.reshape(2, 4), room) is room
    assert room[0, 3] == -2.5
