"""Vectors that do not fit into memory: the same numbers, in blocks."""

from pathlib import Path

import pytest
import torch
from toys import pictures, same_files, small_cnn

import likethat as lt
from likethat import _vectors
from likethat._vectors import Vectors, blocks, is_on_disk, rows_of
from likethat.errors import StorageError
from likethat.search import top_rows, varying_units


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 40 bytes be too many for the memory, and blocks have 3 rows of 4 numbers."""
    monkeypatch.setattr(_vectors, "_IN_MEMORY", 40)
    monkeypatch.setattr(_vectors, "_BLOCK", 48)


def _given(rows: torch.Tensor) -> torch.Tensor:
    vectors = Vectors()
    for part in rows.split(2):
        vectors.add(part)
    return vectors.all()


def test_rows_come_back_from_the_disk_in_blocks(on_disk: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vectors.tempfile, "tempdir", str(tmp_path))
    rows = torch.arange(28, dtype=torch.float32).reshape(7, 4)
    given = _given(rows)
    assert is_on_disk(given)
    assert not is_on_disk(rows)
    assert not list(tmp_path.iterdir())  # the file has no name: nothing is left behind a kill
    assert torch.equal(given, rows)
    assert [(start, part.tolist()) for start, part in blocks(given)] == [
        (start, rows[start : start + 3].tolist()) for start in (0, 3, 6)
    ]
    assert torch.equal(given, rows)  # pages that were let go are read again
    assert [start for start, _ in blocks(rows)] == [0]


def test_some_rows_are_a_copy_and_let_the_pages_go(on_disk: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, some = torch.arange(28, dtype=torch.float32).reshape(7, 4), torch.tensor([6, 0, 6])
    given, let_go = _given(rows), []
    monkeypatch.setattr(_vectors, "_let_go", let_go.append)
    monkeypatch.setattr(_vectors, "_AROUND", 24)  # two rows fill a block
    assert torch.equal(rows_of(given, some), rows[some])
    assert len(let_go) == 2
    assert torch.equal(rows_of(rows, some), rows[some])


def test_a_full_disk_is_one_sentence(on_disk: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vectors.tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="TMPDIR"):
        _given(torch.zeros(7, 4))


@pytest.mark.parametrize("lowest", [False, True])
def test_the_top_of_blocks_is_the_top_of_all(on_disk: None, lowest: bool) -> None:
    rows = torch.randint(-3, 4, (50, 4), generator=torch.Generator().manual_seed(0)).float()  # many equals
    detectors = torch.eye(4)
    for n in (1, 5, 60):
        expected = top_rows(rows, detectors, n, lowest=lowest)
        found = top_rows(_given(rows), detectors, n, lowest=lowest)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_units_that_vary_are_found_in_blocks(on_disk: None) -> None:
    rows = 100 + torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    rows[:, 2] = 7
    assert varying_units(_given(rows), torch.eye(4)).tolist() == [True, True, False, True]
    slanted = torch.tensor([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    assert varying_units(_given(rows), slanted).tolist() == [True, False]


@pytest.mark.slow
def test_a_fit_from_the_disk_finds_what_one_in_memory_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = lt.split(small_cnn(), example=pictures(4)), pictures(70)
    lt.EPIC().fit(model, images).save(tmp_path / "memory")
    monkeypatch.setattr(_vectors, "_IN_MEMORY", 40)
    found = lt.EPIC().fit(model, images)
    found.save(tmp_path / "disk")
    monkeypatch.setattr(_vectors, "_BLOCK", 40 * 4 * found.coordinates.n_units)  # two blocks
    blocked = lt.EPIC().fit(model, images)
    assert same_files(tmp_path / "memory" / "images", tmp_path / "disk" / "images")
    in_memory = lt.open_bank(tmp_path / "memory")
    for bank in (found, blocked):
        assert [(one.unit, one.index, one.cell) for one in bank.prototypes] == [
            (one.unit, one.index, one.cell) for one in in_memory.prototypes
        ]
        assert torch.equal(bank.coordinates.matrix(), in_memory.coordinates.matrix())
