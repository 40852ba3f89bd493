"""Which maps are held, whatever the order and the interruptions."""

import pytest
import torch

from likethat.features.rows import Keeper, priority


def _keeper(total: int | None, capacity: int, seed: int = 0) -> Keeper:
    bytes_each = 4 * 2 * 3 + 4
    return Keeper.for_shapes((2, 3), (1, 2, 2), total=total, seed=seed, budget=capacity * bytes_each)


def _offer(keeper: Keeper, indices: list[int]) -> None:
    numbers = torch.tensor(indices)
    maps = numbers.float()[:, None, None].expand(-1, 2, 3)
    keeper.put(numbers, maps, numbers.to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2))


def _lowest(n: int, room: int, seed: int = 0) -> list[int]:
    return sorted(sorted(range(n), key=lambda index: priority(seed, index))[:room])


@pytest.mark.parametrize("total", [200, None])
@pytest.mark.parametrize("step", [1, 7, 64, 200])
def test_holds_the_lowest_priorities(total: int | None, step: int) -> None:
    keeper = _keeper(total, 30)
    for start in range(0, 200, step):
        _offer(keeper, list(range(start, min(start + step, 200))))
    rows, maps, views = keeper.in_order_of(torch.arange(200))
    assert rows.tolist() == _lowest(200, 30)
    assert maps[:, 0, 0].tolist() == rows.tolist()
    assert views[:, 0, 0, 0].tolist() == rows.tolist()


def test_holds_all_where_there_is_room() -> None:
    keeper = _keeper(None, 5000)
    _offer(keeper, list(range(3000)))  # grows beyond its first room
    assert keeper.in_order_of(torch.arange(3000))[0].tolist() == list(range(3000))


def test_going_on_holds_the_same() -> None:
    first = _keeper(None, 20)
    _offer(first, list(range(100)))
    held, maps, views = first.held(torch.arange(100))
    second = _keeper(None, 20)
    second.put(held, maps, views)
    _offer(second, list(range(100, 300)))
    assert sorted(second.slots) == _lowest(300, 20)
    assert second.in_order_of(torch.arange(300))[1][:, 0, 0].tolist() == _lowest(300, 20)


def test_seeds_draw_differently() -> None:
    assert _lowest(200, 30, seed=0) != _lowest(200, 30, seed=1)


def test_at_least_one() -> None:
    keeper = _keeper(10, 0)
    _offer(keeper, list(range(10)))
    assert len(keeper.slots) == 1
