"""How named architectures are cut: one after another, in a process apart and within a stated time each.

Rows stand in a file of lines, so that a survey that was stopped goes on where it was.
"""

import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from likethat._checks import require
from likethat._documents import parse_json, read_bytes
from likethat._progress import Clock
from likethat.errors import InputError, LikethatError, ModelError
from likethat.models._frozen_search import Counting
from likethat.models._hubs import load_timm, load_torchvision
from likethat.models._probe import logits_of, probe_images
from likethat.models.split import split
from likethat.models.split_model import SplitModel

Row = dict[str, Any]

_TORCHVISION = """
    alexnet squeezenet1_0 squeezenet1_1 resnet18 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5
    mnasnet1_0 shufflenet_v2_x0_5 shufflenet_v2_x1_0 efficientnet_b0 regnet_x_400mf regnet_y_400mf googlenet densenet121
    vgg11 vgg11_bn resnet50 resnext50_32x4d inception_v3 swin_t swin_v2_t convnext_tiny maxvit_t vit_b_32
    efficientnet_v2_s
"""
_TIMM = """
    resnet10t resnet14t resnet18d resnet26 resnet26t resnetv2_18 seresnet18 ecaresnet26t gcresnext26ts resnext26ts
    seresnext26d_32x4d botnet26t_256 halonet26t lambda_resnet26t res2net50_14w_8s skresnet18 selecsls42 dla34 dla46_c
    hardcorenas_a hrnet_w18_small rexnet_100 repvgg_a0 mobileone_s0 ghostnet_050 ghostnetv2_100 ghostnetv3_050
    mobilenetv2_050 mobilenetv3_small_050 mobilenetv3_large_075 mobilenetv4_conv_small_035 mobilenet_edgetpu_v2_xs
    mnasnet_small fbnetc_100 fbnetv3_b spnasnet_100 lcnet_035 tinynet_e tf_efficientnet_lite0 efficientnet_es_pruned
    mixnet_s semnasnet_075 regnetx_002 regnety_002 regnetz_005 vovnet39a cspresnet50 cspdarknet53 darknet17 darknetaa53
    nfnet_l0 eca_nfnet_l0 dm_nfnet_f0 densenet121 inception_next_atto xception41 convnext_atto convnextv2_atto
    convmixer_768_32 edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientvit_b0 efficientvit_m0
    fastvit_t8 repvit_m0_9 repghostnet_050 starnet_s1 shvit_s1 swiftformer_xs poolformer_s12 poolformerv2_s12
    caformer_s18 convformer_s18 pvt_v2_b0 twins_svt_small coat_tiny coatnet_nano_rw_224 coat_lite_tiny crossvit_tiny_240
    convit_tiny cait_xxs24_224 xcit_nano_12_p16_224 volo_d1_224 levit_128s levit_conv_128s mobilevit_xxs mobilevitv2_050
    mvitv2_tiny nest_tiny pit_ti_224 pit_ti_distilled_224 tnt_s_patch16_224 visformer_tiny vit_tiny_patch16_224
    vit_small_patch32_224 vit_tiny_r_s16_p8_224 deit_tiny_patch16_224 deit_tiny_distilled_patch16_224
    deit3_small_patch16_224 vit_wee_patch16_reg1_gap_256 vit_little_patch16_reg4_gap_256 vit_pwee_patch16_reg1_gap_256
    vit_small_patch14_reg4_dinov2 vit_base_patch32_clip_224 beit_base_patch16_224 beitv2_base_patch16_224
    eva02_tiny_patch14_224 flexivit_small vit_base_patch16_siglip_224 hiera_tiny_224 hieradet_small gcvit_xxtiny
    focalnet_tiny_srf davit_tiny maxvit_rmlp_pico_rw_256 maxxvitv2_nano_rw_256 swin_tiny_patch4_window7_224
    swinv2_tiny_window8_256 swin_s3_tiny_224 tiny_vit_5m_224 mixer_s32_224 gmixer_12_224 resmlp_12_224 gmlp_ti16_224
    sequencer2d_s mambaout_femto rdnet_tiny nextvit_small hgnet_tiny hgnetv2_b0 naflexvit_base_patch16_gap tresnet_m
    legacy_seresnet18 efficientvit_b1 test_vit test_vit2 test_resnet test_convnext test_efficientnet
"""
_FROM_CONFIGURATION = """
    vit deit dinov2 dinov2_with_registers beit data2vec-vision resnet convnext convnextv2 swin swinv2 mobilevit
    mobilevitv2 mobilenet_v1 mobilenet_v2 regnet poolformer pvt pvt_v2 levit cvt efficientnet focalnet vit_msn ijepa
    siglip clip bit segformer hiera swiftformer textnet perceiver
"""
ARCHITECTURES = (
    *(f"torchvision:{name}" for name in _TORCHVISION.split()),
    *(f"timm:{name}" for name in _TIMM.split()),
    *(f"hf-config:{name}" for name in _FROM_CONFIGURATION.split()),
)
"""Names of architectures, the cheapest member of a family; ``hf-config:`` is Hugging Face's own configuration."""

_LOADERS = {"timm": load_timm, "torchvision": load_torchvision}
_SEED = 0  # of the random weights
_CLASSES = 1000  # of a head that is not there
_ALIKE = "must tell images apart"  # how `split` begins its refusal of a network that gives all images the same
_LIVENED = "Scales set to 1 and batch norms measured first: fresh weights make all images alike. "
_KINDS = {"frozen": "exact for this image", "followed": "exact for this image", "replay": "replay only"}


def survey(path: Path, names: Sequence[str] = ARCHITECTURES, *, seconds: float = 120.0) -> Iterator[Row]:
    """Yield a row for each architecture with random weights, and add it to a file where it is not there yet.

    Args:
        path: of the lines; those that are there are not made again.
        names: as `likethat.load` takes them, and ``hf-config:TYPE``.
        seconds: each may take; then it is stopped, and its row says so.

    Raises:
        InputError: a file of something else.
    """
    rows = _known(path)
    worker = _Worker()
    try:
        for name in names:
            if name not in rows:
                rows[name] = worker.ask(name, seconds)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[name]) + "\n")
            yield rows[name]
    finally:
        worker.stop()


def _known(path: Path) -> dict[str, Row]:
    """Return the rows of a file by name."""
    try:
        rows = [parse_json(line) for line in read_bytes(path).splitlines()] if path.exists() else []
        return {row["name"]: row for row in rows if row["kind"]}
    except (ValueError, TypeError, KeyError) as error:  # Damaged is a ValueError
        raise InputError(
            f"`rows` must be a file of lines that a survey wrote, or none yet, got {path}. Name another."
        ) from error


class _Worker:
    """A process that cuts one network after another; a new one where it had to be stopped."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Any = None

    def ask(self, name: str, seconds: float) -> Row:
        """Return the row of a network, or one that says that there was none in time."""
        if self._process is None:
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        self._pipe.send(name)
        try:
            if self._pipe.poll(seconds):
                row: Row = self._pipe.recv()
                return row
            why = f"not cut within {seconds:g} s"
        except EOFError:
            why = "its process ended"
        self.stop()
        return {"name": name, "kind": "not finished", "note": why}

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def _serve(pipe: Connection) -> None:
    torch.set_num_threads(1)
    while True:
        name = pipe.recv()
        try:
            row = _row(name)
        except Exception as error:
            line = (str(error).splitlines() or [""])[0]
            row = {"name": name, "kind": "error", "note": f"{type(error).__name__}: {line}"}
        pipe.send(row)


def _row(name: str) -> Row:
    """Cut one architecture with random weights."""
    torch.manual_seed(_SEED)
    clock = Clock()
    try:
        network = _built(name)
    except LikethatError as error:
        return {"name": name, "kind": "not built", "note": str(error)}
    weights = sum(value.numel() * value.element_size() for value in network.state_dict().values()) / 2**20
    row: Row = {"name": name, "weights, MB": round(weights, 1)}
    before = _memory(forget=True)
    livened = ""
    try:
        with Counting() as counted:
            try:
                model = _split(network, name)
            except ModelError as error:
                if _ALIKE not in str(error):
                    raise
                _liven(network)
                livened = _LIVENED
                model = _split(network, name)
    except LikethatError as error:
        return {**row, "kind": "refused", "note": str(error), "seconds": round(clock.seconds, 1)}
    with torch.no_grad(), Counting() as once:
        logits_of(network(model._inputs(_images(model, 3))), 3)
    row |= _said(model)
    row["note"] = f"{livened}{row['note']}"
    row |= {"cost": counted.total / max(1, once.total), "seconds": clock.seconds}
    return row | ({} if before is None else {"memory, MB": (_memory() or before) - before})


def _memory(*, forget: bool = False) -> float | None:
    """Return the most memory that the process had since its peak was forgotten, in MB; None where nothing tells."""
    if not sys.platform.startswith("linux"):
        return None
    if forget:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10


def _built(name: str) -> nn.Module:
    """Return a network with random weights."""
    prefix, _, rest = name.partition(":")
    if prefix in _LOADERS:
        network: nn.Module = _LOADERS[prefix](rest, None, {}).network
        if getattr(network, "num_classes", None) == 0:  # features alone are kept under this name: with a fresh head
            network = _LOADERS[prefix](rest, None, {"num_classes": _CLASSES}).network
        return network.eval()
    transformers = require("transformers", purpose=f"Building {name!r}")
    config = transformers.AutoConfig.for_model(rest)
    kinds = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[
        type(config)
    ]  # several where a family has several heads
    network = (kinds[0] if isinstance(kinds, tuple) else kinds)(config)
    return network.eval()


def _split(network: nn.Module, name: str) -> SplitModel:
    return split(network, preprocess="auto" if name.startswith("timm:") else "default")


@torch.no_grad()
def _liven(network: nn.Module) -> None:
    """Let images differ at the end of a fresh network: scales that begin near 0 become 1, batch norms are measured."""
    for name, value in network.named_parameters():
        if value.ndim == 1 and not name.endswith("bias") and bool((value == value[0]).all()):
            value.fill_(1.0)
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d)]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # the mean of what is seen
        one.train()
    network(probe_images(8, 3, (224, 224), seed=_SEED))
    for one in norms:
        one.eval()


def _images(model: SplitModel, n: int) -> torch.Tensor:
    return probe_images(n, model.in_channels, model.size, seed=_SEED + 2)


def _said(model: SplitModel) -> Row:
    """Return what a cut says of itself."""
    kind = _KINDS.get(model.how, "exact")
    row: Row = {"kind": kind, "how": model.how, "layer": model.layer, "pooling": model.pooling}
    row |= {"grid": f"{model.grid[0]} x {model.grid[1]}", "error": model.error, "note": model.note}
    if model.is_linear:
        row |= {"forwards": float(getattr(model._reader, "forwards", 1.0))}
        located = _located(model)
        row |= {} if located is None else {"located": located}
    return row


@torch.no_grad()
def _located(model: SplitModel) -> float | None:
    """Return the share of the logit less its bias that has a place, by size, on two probe images.

    None where a fresh head is all zeros.
    """
    images = _images(model, 2)
    output, constant = model.forward(images), model.constant(images)
    located = model.spatial_weight * output.feature_map.mean(dim=(2, 3))
    rows = model.head.weight[output.logits.argmax(1)]
    parts = (located, output.pooled - located - constant, constant)
    sizes = [float((rows * part).sum(1).abs().mean()) for part in parts]
    return sizes[0] / sum(sizes) if sum(sizes) else None
