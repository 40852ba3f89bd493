"""`likethat.repair`: a copy without the direction, and nothing else changed."""

import dataclasses
import json
from pathlib import Path

import marked
import pytest
import torch
from marked import CLASSES, model, network, pictures
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from toys import small_cnn
from typer.testing import CliRunner

import likethat as lt
from likethat.cli.main import app
from likethat.errors import InputError, ModelError
from likethat.explanations import Shortcut

pytestmark = pytest.mark.slow  # what all its tests share takes seconds to train


@pytest.fixture(scope="module")
def split() -> lt.SplitModel:
    return model()


@pytest.fixture(scope="module")
def shortcut(split: lt.SplitModel) -> Shortcut:
    images, labels, _ = pictures()
    return lt.audit(split, lt.Images(images, labels=labels.tolist(), class_names=CLASSES), n_shortcuts=1).shortcuts[0]


def rates(net: torch.nn.Module) -> torch.Tensor:
    """Accuracy by class and state, on pictures that the audit never saw: each state as often in every class."""
    images, labels, marked = pictures(1200, strength=0.5, seed=9)
    with torch.no_grad():
        right = (net(images).argmax(1) == labels).double()
    return torch.stack([right[(labels == c) & (marked == s)].mean() for c in range(3) for s in (False, True)])


def test_the_worst_group_of_unseen_pictures_gains_and_the_others_keep(split: lt.SplitModel, shortcut: Shortcut) -> None:
    before = {name: value.clone() for name, value in split.network.state_dict().items()}
    repaired = lt.repair(split, shortcut)
    was, now = rates(split.network), rates(repaired.network)
    assert was.min() < 0.45
    assert now.min() > 0.65
    assert now.mean() > was.mean() + 0.1
    assert all(torch.equal(value, before[name]) for name, value in split.network.state_dict().items())  # untouched


def test_one_layer_differs_and_its_undoing_is_exact(split: lt.SplitModel, shortcut: Shortcut) -> None:
    repaired = lt.repair(split.network, shortcut)  # the network alone will do
    assert type(repaired.network) is type(split.network)
    assert repaired.layer == "3"
    changed = [
        name
        for name, value in repaired.network.state_dict().items()
        if not torch.equal(value, split.network.state_dict()[name])
    ]
    assert changed == ["3.weight", "3.bias"]
    undone = repaired.undo().state_dict()
    assert all(torch.equal(undone[name], value) for name, value in split.network.state_dict().items())
    assert "3.bias" in repaired.network.state_dict()


def test_logits_no_longer_move_along_the_direction(split: lt.SplitModel, shortcut: Shortcut) -> None:
    head = lt.repair(split, shortcut).model.head
    assert torch.allclose(head.weight @ torch.from_numpy(shortcut.direction), torch.zeros(3), atol=1e-5)
    assert torch.allclose(head.bias, torch.from_numpy(shortcut.bias))


def test_what_the_finding_promised_is_what_comes(split: lt.SplitModel, shortcut: Shortcut) -> None:
    images, _, _ = pictures()
    with torch.no_grad():
        after = lt.repair(split, shortcut).network(images).argmax(1)
        changed = after != split.network(images).argmax(1)
    assert int(changed.sum()) == shortcut.n_predictions


def test_a_network_without_a_bias_gets_one_and_loses_it_again(shortcut: Shortcut) -> None:
    bare = network(3.0)
    bare[3].bias = None
    split = lt.split(bare, example=pictures(4)[0])
    repaired = lt.repair(split, dataclasses.replace(shortcut, fingerprint=split.fingerprint))
    assert "3.bias" in repaired.network.state_dict()
    assert "3.bias" not in repaired.undo().state_dict()


def test_it_is_saved_as_weights_with_a_note(split: lt.SplitModel, shortcut: Shortcut, tmp_path: Path) -> None:
    repaired = lt.repair(split, shortcut)
    path = repaired.save(tmp_path / "better.safetensors")
    again = network(3.0)
    again.load_state_dict(load_file(path))
    assert torch.equal(rates(again), rates(repaired.network))
    with safe_open(path, "pt") as file:
        note = json.loads(file.metadata()["likethat"])
    assert (note["layer"], note["made_from"]) == ("3", split.fingerprint)
    assert note["balanced"] == list(shortcut.balanced)
    assert repaired.save(path) == path  # the same again
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"better\.safetensors"):
        repaired.save(path)
    with pytest.raises(InputError, match=r"`path` must end in \.safetensors, got 'better\.pt'"):
        repaired.save(tmp_path / "better.pt")


def test_the_command_takes_out_what_it_found(tmp_path: Path) -> None:
    images, labels, _ = pictures(360)
    for place, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        folder = tmp_path / "photos" / ("ant", "bee", "cow")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(folder / f"{place}.png")
    names = tmp_path / "names.txt"
    names.write_text("ant\nbee\ncow\n", "utf-8")
    words = ["audit", f"{marked.__file__}:network", tmp_path / "photos", "--class-names", names, "--n-shortcuts", 1]
    words += ["--repair", tmp_path / "better.safetensors", "--out", tmp_path / "a.html"]
    said = CliRunner().invoke(app, [str(word) for word in words])
    assert said.exit_code == 0, said.output
    assert "One shortcut found" in said.stdout
    better = network()
    better.load_state_dict(load_file(tmp_path / "better.safetensors"))
    assert rates(better).min() > rates(network()).min() + 0.2


def test_what_is_refused(split: lt.SplitModel, shortcut: Shortcut) -> None:
    with pytest.raises(InputError, match=r"`shortcut` must be of this model, .* Audit this model"):
        lt.repair(lt.split(small_cnn(), example=pictures(4)[0]), shortcut)
    with pytest.raises(InputError, match=r"`shortcut` must be one of audit"):
        lt.repair(split, "badge")  # type: ignore[arg-type]

    short = dataclasses.replace(shortcut, direction=shortcut.direction[:5], reader=shortcut.reader[:5])
    with pytest.raises(InputError, match="a direction and a reader of 8 numbers and 3 biases, got 5, 5 and 3"):
        lt.repair(split, short)

    class Summed(torch.nn.Module):
        """A head of two layers whose sum is the head: none of them alone holds its weights."""

        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(*list(small_cnn())[:-1])
            self.one, self.two = torch.nn.Linear(16, 3), torch.nn.Linear(16, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pooled = self.body(images)
            return self.one(pooled) + self.two(pooled)

    odd = lt.split(Summed().eval(), example=pictures(4)[0])
    assert odd.is_linear
    ones = torch.ones(odd.n_channels).numpy()
    named = dataclasses.replace(shortcut, fingerprint=odd.fingerprint, direction=ones, reader=ones)
    with pytest.raises(ModelError, match="must have one linear layer whose weights are its head's"):
        lt.repair(odd, named)
