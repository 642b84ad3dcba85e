"""Checks before a run folder is made: the data set, the settings, and what this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ramen import distributed
from ramen._version import __version__
from ramen.config import Config, config_yaml
from ramen.data import Dataset, bags_of_words
from ramen.data.leaks import refuse_leaks
from ramen.data.options import with_pairs, with_texts
from ramen.encoders.build import check_encoder, refuse_for_static
from ramen.errors import InputError
from ramen.graph.lambdas import fixed_lambdas
from ramen.scorers.dense.build import check_classifier
from ramen.scorers.dense.schedule import LearningRate
from ramen.threads import one_torch_thread_in_children, thread_count
from ramen.training import boosting
from ramen.training.going_on import graphs_of_start
from ramen.training.joint import check_joint
from ramen.training.plan import refuse_too_large
from ramen.training.run_folder import chosen_graphs, dataset_digest
from ramen.training.schedule import plan_steps
from ramen.training.split import MAX_POINTS, MIN_POINTS, unseen_share

_SHAPES = 128  # about as many as a step of a transformer has


@contextmanager
def torch_threads() -> Iterator[None]:
    """Let torch use no more threads than kernels do: it does not know of a quota, and more than that wait in line.

    It is also told to keep code for fewer shapes of products. The lengths of a transformer's batches always differ, so
    that what it keeps is never used again, and took gigabytes.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # read with the first product
        os.environ.setdefault(name, str(_SHAPES))
    one_torch_thread_in_children()
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, thread_count()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def checked_dataset(whole: Dataset, config: Config, graphs: str) -> Dataset:
    """The texts and pairs of a data set that the settings ask for; ``config.graphs`` is set to the graphs' names.

    Raises:
        InputError: a data set without what the preset reads, settings that do not go together, a graph or an encoder
            that cannot be found, or a run that needs more memory than there is.
    """
    dataset = with_pairs(with_texts(whole, config.data.text), config.data.pairs, config.seed)
    config.graphs = graphs_of(config, graphs, dataset)
    if config.data.leaks == "refuse":
        refuse_leaks(dataset, config.graphs)
    fixed_lambdas(config.graph, config.graphs)
    if not dataset.train_targets.nnz:
        raise InputError(f"{dataset.path}: no training point has a label")
    check_classifier(config.dense)
    check_joint(config)
    check_training(config)
    check_warmups(dataset, config)
    unseen_share(dataset, config.validation.unseen)
    if config.ranking.learn and config.validation.share:
        boosting.load()  # before hours of training
    check_texts(dataset, config)
    refuse_too_large(dataset, config)
    if distributed.world_size() > 1:
        distributed.check_same({"ramen": __version__, "settings": config_yaml(config), "data": dataset_digest(dataset)})
    return dataset


def graphs_of(config: Config, graphs: str, dataset: Dataset) -> list[str]:
    """The names of the graphs that a run uses; arguments as of :func:`ramen.train`.

    Raises:
        InputError: an unknown graph, a named one for bags of words, which train no encoder, or one that the run to go
            on from did not have.
    """
    names = chosen_graphs(graphs, dataset)
    if config.start:
        return graphs_of_start(config, graphs, names, dataset)
    if config.encoder.kind != "bag_of_words":
        return names
    if graphs not in ("all", "none"):
        raise InputError(f"graphs {graphs!r}: --preset words trains no encoder that graphs could regularise")
    return []


def check_training(config: Config) -> None:
    """Refuse settings of training that would do nothing.

    Raises:
        InputError: the setting, and what it needs.

    Example:
        ``check_training(load_config("transformer", ["training.dropout=0.0"]))``
    """
    training, validation = config.training, config.validation
    refuse_for_static(config, config.encoder.kind in ("static", "bag_of_words"))
    if -1 < training.dropout < 0:
        raise InputError(f"training.dropout={training.dropout:g}: expected 0 to below 1, or -1 for the backbone's own")
    if validation.patience and not validation.every:
        raise InputError(f"validation.patience={validation.patience}: expected validation.every=STEPS with it")
    if validation.every and not validation.share:
        raise InputError(f"validation.every={validation.every}: no points are held out, as validation.share=0")


def check_warmups(dataset: Dataset, config: Config) -> None:
    """Refuse a warm-up that is longer than its training, before anything is trained.

    The fewest points are counted that the search may train on; a shortened training on all points has as much of a
    warm-up as it has updates.

    Raises:
        InputError: the setting, and how many updates there are.

    Example:
        ``check_warmups(dataset, load_config("fast", ["training.warmup_steps=1000000"]))``
    """
    n = int(np.count_nonzero(np.diff(dataset.train_targets.indptr)))
    share = config.validation.share
    held_out = min(MAX_POINTS, max(round(share * n), min(MIN_POINTS, n // 4))) if share else 0
    if config.training.epochs and config.encoder.kind != "bag_of_words" and not config.start:
        plan_steps(config, max(1, n - held_out), bool(config.graphs) and config.graph.lambda_ != "auto")
    LearningRate(config.dense, max(1, n - held_out))


def check_texts(dataset: Dataset, config: Config, needs_encoder: bool = True) -> None:
    """Refuse a data set without what the preset reads, and an encoder that cannot be found if it is needed."""
    if config.encoder.kind == "bag_of_words":
        bags_of_words(dataset)
        return
    if not dataset.has_texts:
        instead = "--preset words" if dataset.features is not None else "some"
        raise InputError(f"{dataset.path}: no training point has a text, expected {instead}")
    if needs_encoder:
        check_encoder(config.encoder)
