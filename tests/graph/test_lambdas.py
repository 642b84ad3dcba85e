"""Weights of the graphs: as set, or by the bandit."""

import numpy as np
import pytest

from ramen.config import GraphConfig
from ramen.errors import InputError
from ramen.graph.lambdas import Bandit, fixed_lambdas

RNG = np.random.default_rng(4)
START = {"links": (0.2, 0.0), "other": (0.1, 0.3)}


def bandit(start=START, floor=0.02, seed=0):
    made = Bandit(start, floor)
    made.perturb(np.random.default_rng(seed))
    return made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("liks:0.1", "unknown graph kind 'liks': did you mean 'links'"),
        ("links", "found 'links', expected KIND:LAMBDA or KIND:LAMBDA_X/LAMBDA_Z"),
        ("links:-1", "found 'links:-1'"),
        ("links:nan", "found 'links:nan'"),
        ("links:1/2/3", "found 'links:1/2/3'"),
        ("links:one", "found 'links:one'"),
    ],
)
def test_what_is_no_weight(text, message):
    with pytest.raises(InputError, match=message):
        fixed_lambdas(GraphConfig(lambdas=text), ["links", "noise"])


def test_a_perturbation_is_held_for_ten_steps_and_zero_stays_zero():
    arm = bandit()
    seen = []
    for _ in range(30):
        seen.append(tuple(arm.lambdas["links"] + arm.lambdas["other"]))
        arm.reward(0.5, RNG)
    assert len(set(seen)) == 3 and [len(set(seen[at : at + 10])) for at in (0, 10, 20)] == [1, 1, 1]
    assert all(values[1] == 0.0 and min(values[0], *values[2:]) >= 0.02 for values in seen)


@pytest.mark.parametrize("sign", [1, -1])
def test_it_moves_towards_what_is_rewarded(sign):
    ends = []
    for seed in range(5):
        arm = bandit({"links": (0.5, 0.5)}, seed=seed)
        for _ in range(3000):
            x, z = arm.lambdas["links"]
            arm.reward(0.5 + sign * 0.2 * (x - z), RNG)
        ends.append(arm.means[0])
    gap = np.diff(np.array(ends))[:, 0] * -sign
    assert gap.mean() > 0.1 and (gap > 0).all()


def test_without_a_difference_in_reward_the_means_stay():
    arm = bandit()
    for _ in range(200):
        arm.reward(0.7, RNG)
    np.testing.assert_allclose(arm.means, [[0.2, 0.0], [0.1, 0.3]])


def test_it_goes_on_from_a_state():
    one, other = bandit(), bandit(seed=9)
    for step in range(40):
        one.reward(step / 40, RNG)
    other.restore(one.state())
    for arm in (one, other):
        arm.perturb(np.random.default_rng(5))
    for step in range(25):
        assert one.lambdas == other.lambdas
        for arm in (one, other):
            arm.reward(step / 25, np.random.default_rng(step))
