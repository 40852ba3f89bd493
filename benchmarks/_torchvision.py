"""Make torchvision importable beside a CPU build of torch; import this before anything that imports torchvision."""

import importlib.util

import torch


def define_missing_operators() -> None:
    """Define the two operators that a CUDA wheel of torchvision registers fakes for and a CPU torch has not."""
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        define_missing_operators.library = library  # type: ignore[attr-defined]  # keep it alive


define_missing_operators()
