"""What cells claim of a logit beside what filling them costs, and the sentence that says so."""

import numpy as np
import pytest
import torch
from torch import nn
from toys import pictures, small_cnn

import likethat as lt
from likethat.explanations.records import Provenance
from likethat.features import collect
from likethat.fitting.agreement import Filled, agreement, fill_boxes, ranked_alike

pytestmark = [
    pytest.mark.filterwarnings("ignore:The model gives only"),  # weights are random, or set by hand
    pytest.mark.filterwarnings("ignore:Too few images"),
]


def test_claims_and_falls_by_hand() -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)).eval()
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[8.0], [0.0]]))  # type: ignore[union-attr, operator]
        network[-1].bias.copy_(torch.tensor([0.0, -9.0]))  # type: ignore[union-attr, operator]
    cells = torch.tensor([[1.0, 0.6, 0.0, 0.0], [0.2, 0.0, 1.0, 0.0]])
    images = cells.reshape(2, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    model = lt.split(network, preprocess=None, example=images)
    features = collect(model, lt.Images(images))
    bank = lt.EPIC(n_prototypes=1).fit(model, images)
    for one, own in zip(fill_boxes(bank, features, torch.arange(2)), cells, strict=True):
        assert one.n_boxed == 1
        assert float(one.claims[0]) == pytest.approx(2.0, abs=1e-5)  # of the only channel's peak
        assert one.claims.sort().values.tolist() == pytest.approx((2 * own).sort().values.tolist(), abs=1e-5)
        # A cell is filled with the mean colour: by 2 (own - mean) the logit falls.
        assert one.falls.tolist() == pytest.approx((one.claims - 2 * own.mean()).tolist(), abs=2e-2)  # in 8 bits
        assert one.rank == pytest.approx(1.0)
    found = agreement(bank, features, torch.arange(2))
    assert (found["agreement_images"], found["agreement_rank"], found["agreement_rank_error"]) == (2.0, 1.0, 0.0)
    assert (found["boxed_claims"], found["elsewhere_claims"]) == (pytest.approx(2.0), pytest.approx(0.8 / 3))
    assert found["boxed_falls"] == pytest.approx(2 - 0.7, abs=1e-2)
    assert found["elsewhere_falls"] == pytest.approx(0.8 / 3 - 0.7, abs=1e-2)
    assert agreement(bank, features, torch.arange(1)) == {"agreement_images": 0.0}


def test_what_never_differs_agrees_with_nothing() -> None:
    rising, falling = np.array([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 0.0])
    assert (ranked_alike(rising, rising**2), ranked_alike(rising, falling)) == (pytest.approx(1.0), pytest.approx(-1.0))
    assert ranked_alike(rising, np.ones(3)) == ranked_alike(np.ones(3), rising) == 0.0
    alike = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert Filled(claims=alike, falls=-alike, n_boxed=1).rank == pytest.approx(-1.0)


def test_the_sentence() -> None:
    about = {"method": "EPIC", "options": {}, "seed": 0, "fingerprint": "", "model": "", "n_images": 3}
    measures = {
        "agreement_images": 8.0, "agreement_rank": 0.5, "agreement_rank_error": 0.125, "boxed_claims": 2.0,
        "boxed_falls": 1.5, "elsewhere_claims": 0.25, "elsewhere_falls": -0.5,
    }  # fmt: skip
    assert Provenance(**about, measures=measures).agreement == (
        "Measured on 8 images that were not fitted to: filling a boxed cell with the picture's mean colour lowers the "
        "logit by 1.5 where the cell claims 2, a cell elsewhere by -0.5 where it claims 0.25; ranks of claims and "
        "falls agree by 0.50 ± 0.12 (1: the same order, 0: no relation)."
    )
    assert Provenance(**about, measures=measures, is_made=True).agreement.startswith("Measured on 8 samples: ")
    assert "not measured" in Provenance(**about, measures={"agreement_images": 0.0}).agreement
    assert not Provenance(**about).agreement


class Gated(nn.Module):
    """A convolution, and a head of two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(96, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.front(images))
        return logits


@pytest.mark.slow
@pytest.mark.parametrize("method", [lt.EPIC(n_prototypes=2), lt.PartPrototypes(n_prototypes=2, n_parts=2)])
def test_a_frozen_bank_says_on_each_explanation_what_was_measured(
    method: lt.EPIC | lt.PartPrototypes, tmp_path: pytest.TempPathFactory
) -> None:
    images = pictures(60)
    bank = method.fit(lt.split(Gated().eval(), preprocess=None, example=images[:2]), images)
    assert bank.model.held
    said = bank.provenance.agreement
    assert said.startswith("Measured on 8 images that were not fitted to")
    assert bank.explain(images[0]).warnings.count(said) == 1
    assert said in bank.provenance.notes
    assert "ranks of claims and falls" in bank.save(f"{tmp_path}/bank.html").read_text()
    again = lt.open_bank(bank.save(f"{tmp_path}/bank"))
    assert again.provenance.agreement == said


def test_a_cut_bank_measures_nothing() -> None:
    images = pictures(30)
    bank = lt.EPIC(n_prototypes=2).fit(lt.split(small_cnn(), preprocess=None, example=images[:2]), images)
    assert not bank.provenance.agreement
    assert not [name for name in bank.provenance.measures if name.startswith(("agreement", "boxed"))]


def test_logits_alone_cost_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(3)
    model = lt.split(Gated().eval(), preprocess=None, example=images[:2])
    whole = model.forward(images).logits
    monkeypatch.setattr(model._reader, "read", None)  # what cells give is not asked for
    assert torch.equal(model.logits(images), whole)
