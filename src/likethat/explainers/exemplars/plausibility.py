"""Whether an exemplar could be real: its density under the prior, its distance to real samples."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_images
from likethat._inputs import Inputs, kind_of
from likethat.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_PIXELS = 32  # a side: distances between pictures are those between their small copies
_WORDS = 4096  # places that words and pairs of words are hashed to: few meet in short texts
_MOST_REAL = 2000  # bounds the search for neighbours; quantiles stay fine to .0005


def distance_to_real(inputs: Inputs, data: Inputs) -> Float[Tensor, " n"]:
    """Return each input's distance to the nearest real one, as a multiple of the distance between real neighbours.

    Args:
        inputs: exemplars.
        data: real inputs of the same kind; of more than 2,000 an even choice is taken.

    Returns:
        (n,) 1 where an exemplar is as near to a real input as (the median) real input to its nearest other.

    Raises:
        InputError: another kind, other shapes or columns, or fewer than two real inputs.

    Example:
        >>> distance_to_real(torch.full((1, 1, 1, 1), 0.5), torch.tensor([0.0, 0.2, 0.4]).reshape(3, 1, 1, 1))
        tensor([0.5000], dtype=torch.float64)
    """
    if kind_of(inputs) != kind_of(data):
        raise InputError(f"`data` must be of the generator's kind, {kind_of(inputs)}, got {kind_of(data)}.")
    if len(data) < 2:
        raise InputError(f"`data` must hold at least two real inputs, got {len(data)}.")
    made, real = _embedded(inputs, data)
    real = real[torch.linspace(0, len(real) - 1, min(len(real), _MOST_REAL), dtype=torch.float32).long()]
    apart = torch.cdist(real, real)
    apart.fill_diagonal_(float("inf"))
    nearest = apart.amin(1)
    spacing = nearest[nearest > 0].median() if bool((nearest > 0).any()) else nearest.new_ones(())
    return torch.cdist(made, real).amin(1) / spacing


def _embedded(inputs: Inputs, data: Inputs) -> tuple[Tensor, Tensor]:
    if isinstance(inputs, Tensor) and isinstance(data, Tensor):
        if inputs.shape[1:] != data.shape[1:]:
            raise InputError(f"`data` must have shape (n, {_axes(inputs)}), got (n, {_axes(data)}).")
        if data.ndim == 4:
            check_images(data, name="data")
        return _pixels(inputs), _pixels(data)
    if isinstance(inputs, list) and isinstance(data, list):
        return _words(inputs), _words(data)
    return _columns(inputs, data)


def _axes(images: Tensor) -> str:
    return ", ".join(str(side) for side in images.shape[1:])


def _pixels(images: Tensor) -> Tensor:
    values = images.detach().cpu().double()
    if values.ndim == 4 and max(values.shape[2:]) > _PIXELS:
        height, width = (min(side, _PIXELS) for side in values.shape[2:])
        values = torch.nn.functional.adaptive_avg_pool2d(values, (height, width))
    return values.flatten(1)


def _words(texts: list[str]) -> Tensor:
    """Return counts of words and pairs of words, each text of length 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    counts = HashingVectorizer(n_features=_WORDS, ngram_range=(1, 2), tokenizer=str.split, alternate_sign=False)
    return torch.from_numpy(np.asarray(counts.transform(texts).todense()))


def _columns(inputs: "pd.DataFrame", data: "pd.DataFrame") -> tuple[Tensor, Tensor]:
    """Return numbers in standard deviations of the data, and categories so that two different ones are 1 apart."""
    missing = [str(name) for name in inputs.columns if name not in data.columns]
    if missing:
        raise InputError(f"`data` must have the generator's columns, got none named {', '.join(missing[:5])}.")
    made: list[np.ndarray] = []
    real: list[np.ndarray] = []
    for name in inputs.columns:
        for part, into in zip(_column(inputs[name], data[name]), (made, real), strict=True):
            into.append(part)
    return torch.from_numpy(np.concatenate(made, 1)), torch.from_numpy(np.concatenate(real, 1))


def _column(made: "pd.Series", real: "pd.Series") -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(real) and not pd.api.types.is_bool_dtype(real):
        values = [pd.to_numeric(part, errors="coerce").to_numpy(np.float64, na_value=np.nan) for part in (made, real)]
        middle, spread = np.nanmean(values[1]), np.nanstd(values[1]) or 1.0
        made_z, real_z = (np.nan_to_num((part - middle) / spread) for part in values)
        return made_z[:, None], real_z[:, None]
    names = sorted({str(value) for value in real} | {str(value) for value in made})
    at = {value: index for index, value in enumerate(names)}
    one_hot = np.eye(len(names)) / 2**0.5
    return one_hot[[at[str(value)] for value in made]], one_hot[[at[str(value)] for value in real]]
