"""Packing for an epoch: as many batches as Axolotl planned, every example once, whatever order the epoch has."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from axolotl.utils.samplers import multipack
from axolotl.utils.samplers.multipack import MultipackBatchSampler
from torch.utils.data import RandomSampler

from scripts.training.train_worker import pack_for_epoch

LENGTHS = np.random.default_rng(7).integers(20, 120, size=90)


def sampler_of(seed, batch_size=1):
    order = RandomSampler(LENGTHS, generator=torch.Generator().manual_seed(seed))
    # Counted once: the default packs eight times to count, each time with a full garbage collection.
    return MultipackBatchSampler(
        order, batch_size, 256, LENGTHS, bin_size=200, drop_last=True, num_processes=1, num_count_samples=1
    )


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Axolotl collects garbage after each packing: a third of a second, with torch in memory."""
    monkeypatch.setattr(multipack.gc, "collect", lambda: 0)


def epoch_of(sampler, epoch=0):
    """The epoch's batches, through the wrappers that Accelerate puts around the sampler."""
    pack_for_epoch(SimpleNamespace(batch_sampler=SimpleNamespace(batch_sampler=sampler)), epoch)
    return list(sampler)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_an_epoch_has_as_many_batches_as_were_planned(batch_size):
    for seed in range(20):
        sampler = sampler_of(seed, batch_size)
        planned = sampler._len_across_ranks = len(sampler) + 3  # no order of these examples packs so loosely
        batches = epoch_of(sampler)
        assert len(batches) == planned and {len(batch) for batch in batches} == {batch_size}
        seen = [example for batch in batches for one in batch for example in one]
        assert len(seen) == len(set(seen)) and all(one for batch in batches for one in batch)
        assert batch_size > 1 or sorted(seen) == list(range(len(LENGTHS)))  # drop_last drops whole bins


def test_a_full_epoch_is_left_as_axolotl_packs_it():
    sampler, same = sampler_of(3), sampler_of(3)
    assert same.generate_batches() == epoch_of(sampler)


def test_examples_that_cannot_be_split_end_the_epoch_early_and_do_not_hang():
    sampler = sampler_of(0)
    sampler._len_across_ranks = len(LENGTHS) + 5
    assert len(epoch_of(sampler)) == len(LENGTHS)


def test_each_epoch_is_packed_anew():
    sampler = sampler_of(1)
    assert epoch_of(sampler, 0) != epoch_of(sampler, 1) and sampler.epoch == 1
