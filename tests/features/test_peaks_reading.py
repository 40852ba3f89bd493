"""Peaks read image by image, against loops over channels."""

import pytest
import torch
from reference import epic as reference

from likethat.features import mean_unit_patches, read_peaks
from likethat.features import peaks as reading
from likethat.functional import random_rotation, whitening


def _maps(seed: int = 0) -> torch.Tensor:
    return torch.randn(20, 6, 9, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("is_turned", [True, False])
@pytest.mark.parametrize("group", [2**22, 7 * 6])  # of cells at a time: all, or seven
def test_against_loops(monkeypatch: pytest.MonkeyPatch, is_turned: bool, group: int) -> None:
    monkeypatch.setattr(reading, "_GROUP", group)
    maps = _maps()
    mixing = random_rotation(6, rng=torch.Generator().manual_seed(1)) if is_turned else torch.eye(6)
    rows = torch.stack([torch.tensor(reference.top_images(maps, mixing, channel, 4)) for channel in range(6)])
    peaks = read_peaks(maps, rows, mixing)
    patches = mean_unit_patches(maps, rows, peaks.cells)
    for channel in range(6):
        expected = torch.zeros(6)
        for rank, image in enumerate(rows[channel].tolist()):
            cell, _ = reference.peak(maps[image], mixing, channel)
            assert int(peaks.cells[channel, rank]) == cell
            assert float(peaks.values[channel, rank]) == pytest.approx(
                float(mixing[channel] @ maps[image, :, cell]), abs=1e-5
            )
            expected += maps[image, :, cell] / maps[image, :, cell].norm() / 4
            cosine = torch.nn.functional.cosine_similarity(mixing[channel], maps[image, :, cell], dim=0)
            assert float(peaks.purity[channel, rank]) == pytest.approx(float(cosine), abs=1e-5)
        torch.testing.assert_close(patches[channel], expected)


def test_basis_is_applied_before_the_length() -> None:
    maps = _maps()
    basis = whitening(torch.diag(torch.arange(1.0, 7.0)), condition=4.0)
    rows = torch.arange(6)[:, None]
    peaks = read_peaks(maps, rows, basis)
    patches = mean_unit_patches(maps, rows, peaks.cells, basis=basis)
    for channel in range(6):
        vector = basis @ maps[channel, :, int(peaks.cells[channel, 0])]
        torch.testing.assert_close(patches[channel], vector / vector.norm())


def test_zero_maps_give_zero_patches() -> None:
    maps, rows = torch.zeros(2, 3, 4), torch.zeros(3, 1, dtype=torch.long)
    peaks = read_peaks(maps, rows, torch.eye(3))
    assert float(mean_unit_patches(maps, rows, peaks.cells).abs().max()) == 0.0
    assert peaks.purity.tolist() == [[0.0]] * 3
