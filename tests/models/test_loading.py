"""Every route by which a classifier is loaded, and every file that is refused."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from model_networks import hf_resnet, randomise, timm_network, torchvision_network
from safetensors.torch import save_file
from torch import nn

from likethat.errors import InputError, MissingExtraError, ModelError, UnsafeFileError
from likethat.models import Preprocess, load
from likethat.models._weights import put_weights, read_weights

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
PLAIN = Preprocess(size=64)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return randomise(torchvision_network("resnet18", num_classes=7))


def save(network: nn.Module, path: Path) -> Path:
    state = network.state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.stem == "nested":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    elif path.stem == "compiled":
        torch.save({"model": {f"_orig_mod.module.{name}": value for name, value in state.items()}}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("file", ["a.safetensors", "a.pt", "nested.pth", "compiled.ckpt"])
def test_torchvision_with_a_local_file(resnet: nn.Module, tmp_path: Path, file: str) -> None:
    path = save(resnet, tmp_path / file)
    model = load("torchvision:resnet18", path, preprocess=PLAIN)
    assert (model.n_classes, model.layer, model.name) == (7, "layer4", "torchvision:resnet18")
    assert torch.equal(model.logits(IMAGES), resnet(IMAGES))


def test_a_file_for_a_network_that_asks_for_the_version_of_its_weights(tmp_path: Path) -> None:
    network = torchvision_network("mnasnet0_5", num_classes=3)
    put_weights(network, read_weights(save(network, tmp_path / "a.safetensors")), source="a.safetensors")


@pytest.mark.slow
def test_torchvision_without_weights() -> None:
    model = load("torchvision:squeezenet1_1", num_classes=3, class_names=["a", "b", "c"], device="cpu")
    assert (model.class_names, model.preprocess.resize) == (("a", "b", "c"), 256)
    assert not model.network.training


@pytest.mark.slow
def test_torchvision_weights_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import ResNet18_Weights

    state = randomise(torchvision_network("resnet18")).state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *_, **__: state)
    for weights in ("DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1", ResNet18_Weights.DEFAULT):
        model = load("torchvision:resnet18", weights, preprocess=PLAIN)
        assert model.class_names[:2] == ("tench", "goldfish")
    with pytest.raises(InputError, match="must be one of 'DEFAULT', 'IMAGENET1K_V1'"):
        load("torchvision:resnet18", "IMAGENET21K")


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.error

    from torchvision.models import ResNet18_Weights

    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", refuse)
    with pytest.raises(ModelError, match=r"could not be fetched .*no route.*--weights"):
        load("torchvision:resnet18", "DEFAULT")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["a.safetensors", "nested.pt"])
def test_timm_with_a_local_file(tmp_path: Path, file: str) -> None:
    network = randomise(timm_network("resnet10t", num_classes=6))
    model = load("timm:resnet10t", save(network, tmp_path / file), preprocess=PLAIN)
    assert (model.n_classes, model.how) == (6, "library")
    assert torch.equal(model.logits(IMAGES), network(IMAGES))


@pytest.mark.slow
def test_timm_without_weights() -> None:
    model = load("timm:resnet10t", num_classes=6, in_chans=1)
    assert (model.in_channels, model.class_names[5]) == (1, "class 5")
    assert model.preprocess.input_size is not None
    with pytest.raises(InputError, match="by its tag in the name"):
        load("timm:resnet10t", "IMAGENET1K_V1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from transformers import ConvNextImageProcessor

    network = randomise(hf_resnet())
    network.config.id2label = {0: "cat", 1: "dog", 2: "owl", 3: "eel"}
    network.save_pretrained(tmp_path)
    ConvNextImageProcessor(size={"shortest_edge": 64}).save_pretrained(tmp_path)
    return tmp_path


def test_hugging_face_folder(folder: Path) -> None:
    model = load(f"hf:{folder}")
    assert model.class_names == ("cat", "dog", "owl", "eel")
    assert (model.preprocess.input_size, model.preprocess.resize) == ((64, 64), 73)
    expected = model.network(model.preprocess.normalise(IMAGES)).logits
    assert torch.equal(model.logits(IMAGES), expected)


def test_hugging_face_with_a_local_file(folder: Path, tmp_path: Path) -> None:
    other = randomise(hf_resnet(), seed=4)
    model = load(f"hf:{folder}", save(other, tmp_path / "other.safetensors"), preprocess=PLAIN)
    assert torch.equal(model.logits(IMAGES), other(IMAGES).logits)


def test_hugging_face_folders_that_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    state = read_weights(weights)
    weights.unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(UnsafeFileError, match=r"\.safetensors"):
        load(f"hf:{folder}")
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="got none in"):
        load(f"hf:{folder}")
    save_file({name: value for name, value in state.items() if "classifier" not in name}, weights, {"format": "pt"})
    with pytest.raises(ModelError, match=r"weights are missing \(classifier"):
        load(f"hf:{folder}")
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json"):
        load(f"hf:{folder}")


def test_zoo() -> None:
    model = load("zoo:digits")
    assert (model.in_channels, model.n_classes, model.name) == (1, 10, "zoo:digits")
    assert model.preprocess.input_size is not None
    with pytest.raises(InputError, match="comes with its weights"):
        load("zoo:digits", "a.pt")
    with pytest.raises(InputError, match="'creatures'"):
        load("zoo:lions")


def test_hub_not_reachable() -> None:
    with pytest.raises(ModelError, match="could not be fetched"):
        load("hf:nobody/no-such-model-here")


@pytest.mark.parametrize("name", ["resnet18", "jax:resnet18", "torchvision:", ""])
def test_unknown_prefixes(name: str) -> None:
    with pytest.raises(InputError, match="one of four prefixes: 'torchvision:resnet34', 'timm:"):
        load(name)
    with pytest.raises(InputError, match="For a module use split"):
        load(nn.Linear(2, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["torchvision:resnet81", "timm:resnet81"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match=r"got 'resnet81'\. Close to it: .*resnet"):
        load(name)


@pytest.mark.slow
def test_wrong_weights_and_devices(resnet: nn.Module, tmp_path: Path) -> None:
    path = save(resnet, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"missing \(layer1\.0\.conv3\.weight.*of another shape"):
        load("torchvision:resnet50", path)
    with pytest.raises(ModelError, match="must fit"):
        load("torchvision:resnet18", path, num_classes=9)
    with pytest.raises(InputError, match="does not exist"):
        load("torchvision:resnet18", tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="`device` must be one this machine has"):
        load("torchvision:resnet18", device="nowhere")


class Trap:
    def __reduce__(self) -> Any:
        return (print, ("this must not run",))


def test_files_that_would_run_code(tmp_path: Path, capsys: pytest.CaptureFixture[str], resnet: nn.Module) -> None:
    torch.save({"weight": Trap()}, tmp_path / "trap.pt")
    torch.save(resnet, tmp_path / "whole.pth")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps({"weight": Trap()}))
    for name in ("trap.pt", "whole.pth", "plain.bin"):
        with pytest.raises(UnsafeFileError, match="a pickle that would run code"):
            load("torchvision:resnet18", tmp_path / name)
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.slow
def test_damaged_files(tmp_path: Path, resnet: nn.Module) -> None:
    for suffix in (".pt", ".safetensors"):
        whole = save(resnet, tmp_path / f"a{suffix}").read_bytes()
        for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("noise", b"hello, world" * 9)):
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(content)
            with pytest.raises(ModelError, match="`weights` must be a"):
                read_weights(path)
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(InputError, match="must hold a state dictionary, got list"):
        read_weights(tmp_path / "list.pt")


def test_prefixes_that_belong_to_the_network_stay() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 2)

    network = Holder()
    put_weights(network, {"model.weight": torch.eye(2), "model.bias": torch.zeros(2)}, source="here")
    assert torch.equal(network.model.weight.detach(), torch.eye(2))


def test_missing_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'likethat\[timm\]'"):
        load("timm:resnet18")


@pytest.mark.slow
def test_importing_models_imports_no_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, likethat.models; print([m for m in ('timm', 'transformers', 'torchvision') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_hub_that_nothing_reaches_is_asked_for_its_cache_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm
    from huggingface_hub import constants

    from likethat.models import _hubs

    seen: list[bool] = []

    def create(*_: Any, **__: Any) -> None:
        seen.append(constants.HF_HUB_OFFLINE)
        raise OSError("not in the cache")

    def unreached(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(_hubs, "getproxies", dict)
    monkeypatch.setattr(_hubs.socket, "create_connection", unreached)
    monkeypatch.setattr(timm, "create_model", create)
    for weights in ("DEFAULT", None):  # random weights are fetched from nowhere
        with pytest.raises(ModelError, match=r"could not be fetched .not in the cache"):
            load("timm:resnet10t", weights)
    assert (seen, constants.HF_HUB_OFFLINE) == ([True, False], False)
