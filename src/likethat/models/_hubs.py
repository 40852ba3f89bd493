"""Networks from torchvision, timm, Hugging Face and our own zoo, by name."""

import difflib
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import nn

from likethat._checks import require
from likethat._options import shown
from likethat.errors import InputError, LikethatError, ModelError, UnsafeFileError
from likethat.models._libraries import configured_names, usual_names
from likethat.models._weights import head_classes, is_file_name, put_weights, read_weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A network as its library gives it.

    Attributes:
        network: the module.
        preprocess: anything that `as_preprocess` reads.
        class_names: one name a class, where they are known.
        presumed: a sentence, where the names are those of the architecture's usual weights and nothing says that these
            weights are of the same classes; else "".
        layer: where it is cut, where its maker says; else None.
    """

    network: nn.Module
    preprocess: Any = None
    class_names: Sequence[str] | None = None
    presumed: str = ""
    layer: str | None = None


_PATIENCE = 3.0  # seconds for a first connection to Hugging Face's hub, which tries again for a minute without one


@contextmanager
def _not_waiting() -> Iterator[None]:
    """Have Hugging Face's library look at its cache alone, at once, where no connection to its hub can be had."""
    constants: Any = require("huggingface_hub.constants", purpose="Loading from Hugging Face's hub")
    was, place = constants.HF_HUB_OFFLINE, urlsplit(constants.ENDPOINT)
    if not was and not getproxies():
        found: list[bool] = []
        asking = Thread(target=_connect, args=(place.hostname, place.port or 443, found), daemon=True)
        asking.start()  # a thread, as looking up a name knows no limit
        asking.join(_PATIENCE)
        constants.HF_HUB_OFFLINE = not found
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was


def _connect(host: str | None, port: int, found: list[bool]) -> None:
    with suppress(OSError), socket.create_connection((host or "", port), timeout=_PATIENCE):
        found.append(True)


def load_torchvision(name: str, weights: Any, kwargs: dict[str, Any]) -> Loaded:
    """Return a classifier of torchvision, with the transforms of its weights."""
    models = require("torchvision.models", purpose=f"Loading 'torchvision:{name}'")
    _check_known(name, models.list_models(module=models), "torchvision")
    sets = models.get_model_weights(name)
    path = _as_file(weights)
    chosen = None if path is not None or weights is None else _weight_set(sets, weights)
    usual = chosen or next(iter(sets), None)
    if path is not None:
        network = _with_file(lambda **more: models.get_model(name, weights=None, **more), path, kwargs)
    else:
        with _fetching(f"torchvision:{name}", from_hub=False):
            network = models.get_model(name, weights=chosen, **kwargs)
    names = None if usual is None else usual.meta.get("categories")
    preprocess = None if usual is None else usual.transforms()
    if path is not None and names is not None:
        return _presuming(network, preprocess, names, path)
    return Loaded(network=network, preprocess=preprocess, class_names=names if chosen is not None else None)


def _weight_set(sets: Any, weights: Any) -> Any:
    if isinstance(weights, sets):
        return weights
    word = str(weights).rpartition(".")[2]
    known = ["DEFAULT", *sets.__members__]
    if not isinstance(weights, str) or word not in known:
        listed = ", ".join(repr(one) for one in dict.fromkeys(known))
        raise InputError(f"`weights` must be one of {listed}, a local file or None, got {shown(weights)}.")
    return sets[word]


def load_timm(name: str, weights: Any, kwargs: dict[str, Any]) -> Loaded:
    """Return a classifier of timm, with the preprocessing of its configuration."""
    timm = require("timm", purpose=f"Loading 'timm:{name}'")
    path = _as_file(weights)
    if path is None and weights not in (None, "DEFAULT"):
        raise InputError(
            f"`weights` must be 'DEFAULT', a local file or None for timm, got {shown(weights)}. Choose a set of "
            f"weights by its tag in the name: 'timm:{name.partition('.')[0]}.<tag>'."
        )
    if not name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        _check_known(name.partition(".")[0], timm.list_models(), "timm")
    if path is not None:
        network = _with_file(lambda **more: timm.create_model(name, pretrained=False, **more), path, kwargs)
        return _presuming(network, "auto", _imagenet_names(network, trained=True), path)
    with _fetching(f"timm:{name}", from_hub=weights == "DEFAULT"):
        network = timm.create_model(name, pretrained=weights == "DEFAULT", **kwargs)
    return Loaded(network=network, preprocess="auto", class_names=_imagenet_names(network, trained=weights is not None))


def _presuming(network: nn.Module, preprocess: Any, names: Sequence[str] | None, path: Path) -> Loaded:
    """Give weights from a file the class names of the architecture's usual ones, where there are as many."""
    if names is None or len(names) != _n_classes(network):
        return Loaded(network=network, preprocess=preprocess)
    return Loaded(
        network=network,
        preprocess=preprocess,
        class_names=names,
        presumed=f"The class names are presumed: {path.name} has {len(names):,} classes, as many as the usual weights "
        f"of this architecture ({names[0]!r}, {names[1]!r}, …), whose names they got. If they are others, give "
        "class_names.",
    )


def _n_classes(network: nn.Module) -> int | None:
    """Return the outputs of a network's last layer with weights."""
    heads = [value for name, value in network.state_dict().items() if name.endswith(".weight") and value.ndim in (2, 4)]
    return int(heads[-1].shape[0]) if heads else None


def _imagenet_names(network: Any, *, trained: bool) -> Sequence[str] | None:
    """Return ImageNet's names where timm says that the trained head knows those classes; none for random weights."""
    n_classes = getattr(network, "num_classes", None)
    if n_classes is None or configured_names(network, n_classes) is not None:
        return None
    return usual_names(network, n_classes) if trained else [f"class {index}" for index in range(n_classes)]


def load_hugging_face(name: str, weights: Any, kwargs: dict[str, Any]) -> Loaded:
    """Return an image classifier of Hugging Face, from safetensors alone and without code of its own."""
    transformers = require("transformers", purpose=f"Loading 'hf:{name}'")
    path = _as_file(weights)
    if path is None and weights not in (None, "DEFAULT"):
        raise InputError(f"`weights` must be None or a local file for Hugging Face, got {shown(weights)}.")
    folder = Path(name)
    if folder.is_dir() and path is None:
        _check_folder(folder)
    auto, safe = transformers.AutoModelForImageClassification, {"trust_remote_code": False}
    with _fetching(f"hf:{name}", from_hub=not folder.is_dir()):
        if path is not None:
            config = transformers.AutoConfig.from_pretrained(name, **safe, **kwargs)
            network = auto.from_config(config, **safe)
            put_weights(network, read_weights(path), source=path.name)
        else:
            network, report = auto.from_pretrained(
                name, use_safetensors=True, output_loading_info=True, **safe, **kwargs
            )
            _check_complete(name, report)
    return Loaded(network=network, preprocess="auto")


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise InputError(f"`name` must be a folder with a config.json, got {folder.name!r} without one.")
    if any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise UnsafeFileError(
            f"`name` must be a folder with .safetensors weights, got pickled ones in {folder.name!r}. Convert them "
            "with network.save_pretrained(folder)."
        )
    raise InputError(f"`name` must be a folder with .safetensors weights, got none in {folder.name!r}.")


def _check_complete(name: str, report: dict[str, Any]) -> None:
    """Refuse a network whose head (or anything else) was made up because the weights lack it."""
    missing = sorted(report.get("missing_keys") or [])
    if missing:
        raise ModelError(
            f"'hf:{name}' must hold a trained classifier, and {len(missing)} of its weights are missing "
            f"({', '.join(missing[:3])}). Choose a checkpoint that was trained to classify images."
        )


def load_zoo_network(name: str, weights: Any, kwargs: dict[str, Any]) -> Loaded:
    """Return a network of our own zoo; it takes images in [0, 1] as they are."""
    from likethat.models.zoo import load_zoo, zoo_card

    if weights not in (None, "DEFAULT") or kwargs:
        raise InputError(
            f"`name` 'zoo:{name}' comes with its weights, got {shown(weights)} and {sorted(kwargs)}. Leave them out."
        )
    card = zoo_card(name)
    channels, height, width = card["input_size"]
    preprocess = {"size": (height, width), "channels": channels}
    return Loaded(network=load_zoo(name), preprocess=preprocess, class_names=card["class_names"])


def _as_file(weights: Any) -> Path | None:
    """Return the path where `weights` is a local file."""
    if is_file_name(weights) or (isinstance(weights, str) and ("/" in weights or Path(weights).is_file())):
        return Path(weights)
    return None


def _with_file(create: Callable[..., nn.Module], path: Path, kwargs: dict[str, Any]) -> nn.Module:
    """Return the network with the file's weights, with as many classes as they have."""
    weights = read_weights(path)
    network = create(**kwargs)
    n_classes = head_classes(network, weights)
    if n_classes is not None and "num_classes" not in kwargs:
        network = create(**kwargs, num_classes=n_classes)
    put_weights(network, weights, source=path.name)
    return network


def _check_known(name: str, known: Sequence[str], library: str) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or list(known)[:3]
        raise InputError(
            f"`name` must be a classifier of {library}, got {name!r}. Close to it: "
            f"{', '.join(repr(one) for one in close)}."
        )


@contextmanager
def _fetching(name: str, *, from_hub: bool) -> Iterator[None]:
    """Turn what a library raises while it fetches or builds a network into one sentence."""
    try:
        with _not_waiting() if from_hub else nullcontext():
            yield
    except LikethatError:
        raise
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "trust_remote_code" in str(error):
            raise UnsafeFileError(f"{name!r} would run code of its own, which likethat never does.") from error
        if "safetensors" in str(error) and "does not appear" in str(error):
            raise UnsafeFileError(f"{name!r} must have .safetensors weights, and has pickled ones alone.") from error
        if isinstance(error, OSError) or type(error).__module__.startswith(("huggingface_hub", "httpx", "urllib")):
            raise ModelError(
                f"{name!r} could not be fetched ({line}). Check the name and the connection, or give what you have "
                "of it: a file of its weights (`weights`, --weights), or a folder in place of the name."
            ) from error
        raise ModelError(f"{name!r} could not be built: {type(error).__name__}: {line}") from error
