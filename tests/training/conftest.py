"""The material of a small run."""

import pytest
from ramen.training.fit import Fitter

import ramen
from ramen.config import load_config
from ramen.training.data import prepare
from ramen.training.split import cut


@pytest.fixture
def make_fitter(planted, searching):
    """A function of settings: a fitter by an untrained encoder on a split of the planted set, all graphs."""

    def make(*overrides, dataset=None):
        dataset = dataset or ramen.load_dataset(planted)
        config = load_config("static", [*searching, *overrides])
        config.graphs = sorted(dataset.graphs)
        material, encoder = prepare(dataset, config)
        vectors = encoder.encode(material.tokens["points"]).numpy()
        settings = config.validation
        split = cut(dataset, vectors, settings.share, settings.max_points, config.seed, settings.min_points)
        return Fitter(material, material.see(split), encoder)

    return make
