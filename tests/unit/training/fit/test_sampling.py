"""Orders in which positives have a stated part, the same for the same seed and epoch."""

from __future__ import annotations

import pytest

from training.fit import sampling

POSITIVE = [number % 10 == 0 for number in range(100)]


def drawn(order: sampling.GroupedOrder, epoch: int = 0) -> list[int]:
    order.set_epoch(epoch)
    return list(order)


def test_a_stated_part_of_each_epoch_is_positive() -> None:
    order = sampling.positive_aware(POSITIVE, part=0.4, seed=1)
    for epoch in range(3):
        numbers = drawn(order, epoch)
        assert len(numbers) == len(order) == 100
        assert sum(POSITIVE[number] for number in numbers) == 40


def test_the_part_falls_over_the_epochs() -> None:
    order = sampling.positive_aware(POSITIVE, part=0.8, last_part=0.2, epochs=4, count=50, seed=1)
    assert [sum(POSITIVE[number] for number in drawn(order, epoch)) for epoch in range(6)] == [40, 30, 20, 10, 10, 10]


def test_no_image_comes_again_before_all_of_its_group_came() -> None:
    order = sampling.positive_aware(POSITIVE, part=0.25, seed=7)
    numbers = drawn(order, 5)
    negatives = [number for number in numbers if not POSITIVE[number]]
    positives = [number for number in numbers if POSITIVE[number]]
    assert len(set(negatives)) == len(negatives) == 75
    assert len(positives) == 25
    assert {positives.count(number) for number in range(0, 100, 10)} == {2, 3}


def test_a_resumed_run_goes_on_in_the_same_order() -> None:
    first = sampling.positive_aware(POSITIVE, part=0.5, seed=3)
    whole = [drawn(first, epoch) for epoch in range(4)]
    again = sampling.positive_aware(POSITIVE, part=0.5, seed=3)
    assert [drawn(again, epoch) for epoch in (2, 3)] == whole[2:]
    assert whole[0] != whole[1]
    assert drawn(sampling.positive_aware(POSITIVE, part=0.5, seed=4)) != whole[0]


def test_the_order_is_mixed() -> None:
    numbers = drawn(sampling.positive_aware(POSITIVE, part=0.5, seed=3))
    firsts = sum(POSITIVE[number] for number in numbers[:50])
    assert 15 < firsts < 35


def test_lightning_sets_the_epoch() -> None:
    from lightning.fabric.utilities.data import _set_sampler_epoch
    from torch.utils.data import DataLoader

    order = sampling.positive_aware(POSITIVE, part=0.5, seed=3)
    loader: DataLoader[int] = DataLoader(list(range(100)), batch_size=4, sampler=order)
    _set_sampler_epoch(loader, 2)
    assert order.epoch == 2


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_one_kind_alone_is_refused(positive: list[bool]) -> None:
    with pytest.raises(ValueError, match="is empty"):
        sampling.positive_aware(positive, part=0.5, seed=1)


def test_a_part_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        sampling.positive_aware(POSITIVE, part=1.5, seed=1)
