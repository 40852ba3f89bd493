"""Arrays and tensors in every layout, type and range that people have them in."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import likethat as lt
from robustness_cases import REFUSED, RIGHT, case, expect

KIND = "arrays"


def _shape(images: Any, **options: Any) -> tuple[int, ...]:
    return tuple(lt.Images(images, **options)[0].image.shape)


def _marked(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    """Zeros with one white pixel in image 0, row 2, column 5, channel 1 (channels last)."""
    values = np.zeros(shape, dtype)
    values[0, 2, 5, 1] = 255 if dtype == np.uint8 else 1
    return values


def _in_place(images: Any, **options: Any) -> None:
    image = lt.Images(images, **options)[0].image
    expect((image.nonzero().tolist(), float(image.max())), ([[1, 2, 5]], 1.0), "the white pixel (channel, row, column)")


for _n in (5, 6, 8, 10, 12, 13):
    case(KIND, f"(n, 64, 64, {_n}): the last axis is the channel", accepts=RIGHT)(
        lambda n=_n: _in_place(_marked(2, 64, 64, n))
    )
    case(KIND, f"(n, {_n}, 64, 64): the second axis is the channel", accepts=RIGHT)(
        lambda n=_n: _in_place(np.ascontiguousarray(np.moveaxis(_marked(2, 64, 64, n), -1, 1)))
    )
case(KIND, "(n, 48, 64, 12): the last axis is the channel", accepts=RIGHT)(lambda: _in_place(_marked(2, 48, 64, 12)))
case(KIND, "one (64, 64, 12) in a list", accepts=RIGHT)(lambda: _in_place([_marked(1, 64, 64, 12)[0]]))
case(KIND, "one (12, 64, 64) in a list", accepts=RIGHT)(
    lambda: _in_place([np.moveaxis(_marked(1, 64, 64, 12)[0], -1, 0)])
)
case(KIND, "(n, 12, 12, 12): either axis could be the channel", accepts=REFUSED)(
    lambda: lt.Images(np.zeros((2, 12, 12, 12), np.uint8))
)
case(KIND, "a tensor (n, 12, 12, 12) has its channels first", accepts=RIGHT)(
    lambda: expect(_shape(torch.zeros(2, 12, 12, 12)), (12, 12, 12), "the shape")
)
case(KIND, "a tensor (n, 64, 64, 3) has its channels at the wrong end", accepts=REFUSED)(
    lambda: lt.Images(torch.zeros(2, 64, 64, 3))
)
case(KIND, "a tensor (64, 64, 3) in a list has its channels at the wrong end", accepts=REFUSED)(
    lambda: lt.Images([torch.zeros(64, 64, 3)])[0]
)
case(KIND, "(64, 64, 100) of grey images behind each other (height, width, image)", accepts=REFUSED)(
    lambda: lt.Images(np.zeros((64, 64, 100), np.uint8))
)
case(KIND, "(64, 64, 12): one image of 12 bands, not 64 images of 64 x 12", accepts=REFUSED)(
    lambda: lt.Images(np.zeros((64, 64, 12), np.uint8))
)
case(KIND, "(480, 640, 3): one image, not 480", accepts=REFUSED)(lambda: lt.Images(np.zeros((480, 640, 3), np.uint8)))
case(KIND, "(1797, 8, 8) are 1,797 grey images", accepts=RIGHT)(
    lambda: expect(
        (len(lt.Images(np.zeros((1797, 8, 8), np.float32))), _shape(np.zeros((1797, 8, 8)))), (1797, (1, 8, 8)), "it"
    )
)


def _bands(kind: Any = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.integers(20, 236, (3, 16, 16, 4))
    return values.astype(np.uint8) if kind == np.uint8 else (values / 255).astype(kind)


for _kind in (np.uint8, np.float32):
    case(KIND, f"(n, h, w, 4) {_kind.__name__} whose fourth band is no transparency", accepts=REFUSED)(
        lambda kind=_kind: lt.Images(_bands(kind))
    )


@case(KIND, "(n, h, w, 4) with background=None has four bands", accepts=RIGHT)
def _() -> None:
    image = lt.Images(_bands(), background=None)[2].image
    expect(image.numpy(), np.moveaxis(_bands()[2], -1, 0) / 255, "the four bands", tolerance=1e-6)


@case(KIND, "(n, h, w, 4) with background='black' is colour times transparency", accepts=RIGHT)
def _() -> None:
    values = _bands()[1] / 255
    expected = np.moveaxis(values[..., :3] * values[..., 3:], -1, 0)
    expect(lt.Images(_bands(), background="black")[1].image.numpy(), expected, "it", tolerance=1e-6)
    expect(lt.Images(list(_bands()), background="black")[1].image.numpy(), expected, "it in a list", tolerance=1e-6)


@case(KIND, "(n, h, w, 4) of a cut-out (opaque or clear) lies on white", accepts=RIGHT)
def _() -> None:
    values = _bands()
    values[..., 3] = 255
    values[:, :4, :, 3] = 0
    image = lt.Images(values)[0].image
    expect((image.shape[0], image[:, :4].unique().tolist()), (3, [1.0]), "channels, and the clear rows")
    expect(image[:, 8, 8].numpy(), values[0, 8, 8, :3] / 255, "an opaque pixel", tolerance=1e-6)


@case(KIND, "four bands in a list: the fourth is no transparency", accepts=REFUSED)
def _() -> None:
    lt.Images(list(_bands()))[0]


@case(KIND, "a tensor (n, 4, h, w) keeps its four channels", accepts=RIGHT)
def _() -> None:
    expect(_shape(torch.rand(2, 4, 16, 16)), (4, 16, 16), "the shape")


@case(KIND, "a tensor (n, 4, h, w) with background=(1, 0, 0): clear is red", accepts=RIGHT)
def _() -> None:
    image = lt.Images(torch.zeros(2, 4, 16, 16), background=(1, 0, 0))[0].image
    expect(image[:, 0, 0].tolist(), [1.0, 0.0, 0.0], "a clear pixel")


for _kind in ("int16", "int32", "int64", "uint32", "uint64", "int8"):
    case(KIND, f"{_kind} of 0 to 127 say not what is white", accepts=REFUSED)(
        lambda kind=_kind: lt.Images(np.full((2, 9, 8, 3), 127, kind))
    )
    case(KIND, f"{_kind} with white=127: 127 is white", accepts=RIGHT)(
        lambda kind=_kind: expect(
            float(lt.Images(np.full((2, 9, 8, 3), 127, kind), white=127)[0].image.min()), 1.0, "a pixel"
        )
    )
for _kind in ("float16", "float32", "float64", ">f4", "<f8", "bool"):
    case(KIND, f"{_kind} of 0 and 1", accepts=RIGHT)(
        lambda kind=_kind: _in_place(_marked(2, 9, 8, 3, dtype=np.dtype(kind).type).astype(kind))
    )
for _kind in (">u2", "<u2"):
    case(KIND, f"{_kind} of 0 to 65,535", accepts=RIGHT)(
        lambda kind=_kind: _in_place((_marked(2, 9, 8, 3).astype(np.uint16) * 257).astype(kind))
    )
for _low, _high in ((0, 255), (-1, 1), (-2.1, 2.6), (0, 1.5), (-0.5, 0.5), (0, 65535)):
    case(KIND, f"floats from {_low} to {_high} are no pixels in [0, 1]", accepts=REFUSED)(
        lambda low=_low, high=_high: lt.Images(np.linspace(low, high, 2 * 9 * 8 * 3).reshape(2, 9, 8, 3))
    )
case(KIND, "floats from 0 to 255 with white=255", accepts=RIGHT)(
    lambda: expect(float(lt.Images(np.full((2, 9, 8, 3), 51.0), white=255)[0].image.max()), 0.2, "it", tolerance=1e-6)
)
case(KIND, "white=255 and a value of 300", accepts=REFUSED)(lambda: lt.Images(np.full((2, 9, 8, 3), 300), white=255))
case(KIND, "12-bit data in uint16 are asked about", accepts=REFUSED)(
    lambda: lt.Images(np.full((2, 9, 8), 4000, np.uint16))
)
case(KIND, "12-bit data in uint16, one image in a list, are asked about", accepts=REFUSED)(
    lambda: lt.Images([np.full((9, 8), 4000, np.uint16)])[0]
)
case(KIND, "12-bit data in a uint16 tensor are asked about", accepts=REFUSED)(
    lambda: lt.Images(torch.full((2, 1, 9, 8), 4000, dtype=torch.uint16))
)
case(KIND, "12-bit data with white=4095", accepts=RIGHT)(
    lambda: expect(
        float(lt.Images(np.full((2, 9, 8), 819, np.uint16), white=4095)[0].image.max()), 0.2, "it", tolerance=1e-6
    )
)
case(KIND, "masks of 0 and 1 in uint8 are asked about, not almost black", accepts=REFUSED)(
    lambda: lt.Images(np.eye(9, dtype=np.uint8)[None])
)
case(KIND, "4-bit digits of 0 to 16 in uint8 are asked about", accepts=REFUSED)(
    lambda: lt.Images(np.full((2, 8, 8), 16, np.uint8))
)
case(KIND, "dark photos in uint8 (largest 60) are as dark as they are", accepts=RIGHT)(
    lambda: expect(float(lt.Images(np.full((2, 9, 8), 51, np.uint8))[0].image.max()), 0.2, "it", tolerance=1e-6)
)


def _mapped() -> np.ndarray:
    path = Path(tempfile.mkdtemp()) / "a.npy"
    np.save(path, _marked(2, 9, 8, 3))
    return np.load(path, mmap_mode="r")


case(KIND, "an array mapped from a file", accepts=RIGHT)(lambda: _in_place(_mapped()))
case(KIND, "an array that is not contiguous (a transposed view)", accepts=RIGHT)(
    lambda: _in_place(np.ascontiguousarray(_marked(2, 9, 8, 3).transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3))
)
case(KIND, "an array with negative strides (mirrored)", accepts=RIGHT)(
    lambda: _in_place(_marked(2, 9, 8, 3)[:, :, ::-1].copy()[:, :, ::-1])
)
case(KIND, "BGR turned round by [..., ::-1]", accepts=RIGHT)(
    lambda: _in_place(np.ascontiguousarray(_marked(2, 9, 8, 3)[..., ::-1])[..., ::-1])
)
case(KIND, "every other pixel of an array", accepts=RIGHT)(
    lambda: _in_place(np.repeat(np.repeat(_marked(2, 9, 8, 3), 2, axis=1), 2, axis=2)[:, ::2, ::2])
)
case(KIND, "an array that cannot be written to", accepts=RIGHT)(
    lambda: _in_place(np.frombuffer(_marked(2, 9, 8, 3).tobytes(), np.uint8).reshape(2, 9, 8, 3))
)
case(KIND, "a tensor in channels_last memory", accepts=RIGHT)(
    lambda: _in_place(
        torch.from_numpy(np.moveaxis(_marked(2, 9, 8, 3), -1, 1).copy()).contiguous(memory_format=torch.channels_last)
    )
)
case(KIND, "a mirrored tensor", accepts=RIGHT)(
    lambda: _in_place(torch.from_numpy(np.moveaxis(_marked(2, 9, 8, 3), -1, 1).copy()).flip(3).flip(3))
)
case(KIND, "a tensor that wants gradients", accepts=RIGHT)(
    lambda: expect(lt.Images(torch.ones(2, 3, 9, 8, requires_grad=True))[0].image.requires_grad, False, "it wants them")
)
case(KIND, "bfloat16", accepts=RIGHT)(
    lambda: expect(float(lt.Images(torch.ones(2, 3, 9, 8, dtype=torch.bfloat16))[1].image.min()), 1.0, "a pixel")
)
case(KIND, "one bfloat16 image in a list", accepts=RIGHT)(
    lambda: expect(float(lt.Images([torch.ones(3, 9, 8, dtype=torch.bfloat16)])[0].image.min()), 1.0, "a pixel")
)
case(KIND, "a masked array", accepts=REFUSED)(
    lambda: lt.Images(np.ma.masked_less(np.linspace(0, 1, 144).reshape(2, 9, 8), 0.2))
)
case(KIND, "a sparse tensor", accepts=REFUSED)(lambda: lt.Images(torch.ones(2, 3, 9, 8).to_sparse()))
case(KIND, "a sparse tensor in a list", accepts=REFUSED)(lambda: lt.Images([torch.ones(3, 9, 8).to_sparse()])[0])
case(KIND, "a tensor without data (meta)", accepts=REFUSED)(lambda: lt.Images(torch.ones(2, 3, 9, 8, device="meta")))
case(KIND, "complex numbers", accepts=REFUSED)(lambda: lt.Images(np.ones((2, 9, 8, 3), np.complex64)))
case(KIND, "complex tensors", accepts=REFUSED)(lambda: lt.Images(torch.ones(2, 3, 9, 8, dtype=torch.complex64)))
case(KIND, "dates", accepts=REFUSED)(lambda: lt.Images(np.zeros((2, 9, 8), "M8[s]")))
case(KIND, "texts", accepts=REFUSED)(lambda: lt.Images(np.full((2, 9, 8), "a")))
case(KIND, "records", accepts=REFUSED)(lambda: lt.Images(np.zeros((2, 9, 8), [("a", "u1"), ("b", "u1")])))
case(KIND, "no images", accepts=REFUSED)(lambda: lt.Images(np.zeros((0, 9, 8, 3), np.uint8)))
case(KIND, "images of no pixels", accepts=REFUSED)(lambda: lt.Images(np.zeros((2, 0, 8, 3), np.uint8)))
case(KIND, "an image of no pixels in a list", accepts=REFUSED)(lambda: lt.Images([np.zeros((0, 8, 3), np.uint8)])[0])
case(KIND, "images of no channels", accepts=REFUSED)(lambda: lt.Images(np.zeros((2, 9, 8, 0), np.uint8)))
case(KIND, "five axes (a film)", accepts=REFUSED)(lambda: lt.Images(np.zeros((2, 4, 9, 8, 3), np.uint8)))
case(KIND, "one row of numbers", accepts=REFUSED)(lambda: lt.Images(np.zeros(64, np.uint8)))
case(KIND, "one pixel an image", accepts=RIGHT)(lambda: expect(_shape(np.ones((2, 3, 1, 1))), (3, 1, 1), "the shape"))
case(KIND, "NaN in the last image of 300", accepts=REFUSED)(
    lambda: lt.Images(np.concatenate([np.zeros((299, 4, 5)), np.full((1, 4, 5), np.nan)]))
)
case(KIND, "a list that mixes paths, PIL images, arrays and tensors of several types", accepts=RIGHT)(
    lambda: expect(
        [
            float(sample.max())
            for sample in (
                lt.Images(
                    [
                        Image.new("L", (4, 4), 51),
                        torch.full((3, 5, 6), 51, dtype=torch.uint8),
                        np.full((5, 6, 3), 0.2),
                        np.full((5, 6), 13107, np.uint16),
                    ]
                )[index].image
                for index in range(4)
            )
        ],
        np.array([0.2] * 4),
        "the shades",
        tolerance=1e-6,
    )
)


@case(KIND, "12 bands through a fit: the view has 12 channels, and an explanation adds up", accepts=RIGHT)
def _() -> None:
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv2d(12, 6, 3), torch.nn.ReLU())
    network = torch.nn.Sequential(body, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(6, 3))
    values = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 12), dtype=np.uint8)
    model = lt.split(network.eval(), preprocess=lt.Preprocess(size=16))
    bank = lt.EPIC(n_prototypes=1).fit(model, values)
    explained = bank.explain(values[0])
    with torch.no_grad():
        logits = network(torch.from_numpy(np.moveaxis(values[0], -1, 0).astype(np.float32) / 255)[None])[0]
    expect(float(explained.logit), float(logits[explained.target]), "the logit", tolerance=1e-4)


@case(KIND, "images against channels: RGB arrays under a network of 12 channels", accepts=REFUSED)
def _() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(12, 6, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(6, 3)
    )
    lt.EPIC().fit(lt.split(network.eval(), preprocess=lt.Preprocess(size=16)), np.zeros((4, 16, 16, 3), np.uint8))
