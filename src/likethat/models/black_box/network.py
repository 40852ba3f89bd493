"""The backend of torch: a module or a `SplitModel`, asked for its output alone and left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from likethat._inputs import Inputs
from likethat.errors import BlackBoxError, InputError, NotAClassifierError
from likethat.models._libraries import has_independent_labels
from likethat.models._probe import chosen_logits
from likethat.models._state import device_of, evaluating, floating_type, put_back
from likethat.models.black_box.backend import Facts
from likethat.models.black_box.casting import as_type
from likethat.models.fingerprint import fingerprint
from likethat.models.split_model import SplitModel


class NetworkBackend:
    """Runs a network in evaluation mode, on its own device and in its own precision.

    Args:
        network: asked.
        is_whole: whether the answer is what the network returns, of whatever form, and not the logits in it.
    """

    def __init__(self, network: nn.Module | SplitModel, *, is_whole: bool = False) -> None:
        self._network, self.is_whole = network, is_whole
        if isinstance(network, SplitModel):
            self._module = network.network
            alone = network.n_classes == 1  # the class or not: two columns
            names = network.class_names
            self.facts = Facts(
                name=network.name,
                class_names=(f"not {names[0]}", names[0]) if alone else names,
                output="labels" if network.outputs == "sigmoid" and not alone else "probabilities",
                batch_size=_batch_size(network.network),
                identity=f"{network.name} {network.fingerprint}",
            )
        else:
            self._module = network
            name = type(network).__name__
            self.facts = Facts(
                name=name,
                identity=f"{name} {fingerprint(network)}",
                output="labels" if has_independent_labels(network) else "auto",
                batch_size=_batch_size(network),
            )

    def __call__(self, batch: Inputs) -> Any:
        """Return the network's own probabilities where it was split, and its output where not."""
        tensor = self._tensor(batch)
        with _left_as_it_was(self._module):
            if isinstance(self._network, SplitModel):
                probabilities = self._network.probabilities(self._network.logits(tensor))
                alone = self._network.n_classes == 1
                return torch.cat([1 - probabilities, probabilities], 1) if alone else probabilities
            if self.is_whole:
                return self._network(tensor)
            output = _logits(self._network(tensor), len(tensor))
            return output.sigmoid() if self.facts.output == "labels" else output

    def _tensor(self, batch: Any) -> Tensor:
        if isinstance(batch, list):
            raise InputError(
                f"`inputs` must be a tensor or a table of numbers for the torch module {self.facts.name}, got texts. "
                "Pass a function that tokenises and calls it."
            )
        if isinstance(batch, np.ndarray):
            batch = torch.from_numpy(batch)
        if not isinstance(batch, Tensor):
            batch = torch.from_numpy(as_type(batch, np.dtype(np.float64), taker=self.facts.name))
        dtype = floating_type(self._module) if batch.is_floating_point() else batch.dtype
        given = batch.to(device_of(self._module), dtype)
        if dtype != batch.dtype and bool((given.isinf() & batch.isfinite().to(given.device)).any()):
            raise InputError(
                f"`inputs` must fit {dtype} as {self.facts.name} computes in, which ends at "
                f"{torch.finfo(dtype).max:.3g}, got larger numbers. Scale them as the model's training data was."
            )
        return given


def _batch_size(network: nn.Module) -> int:
    """Few on a CPU: large maps are asked of the system anew for each layer, which can take longer than the layer."""
    return 32 if device_of(network).type == "cpu" else 64


@contextmanager
def _left_as_it_was(network: nn.Module) -> Iterator[None]:
    """Evaluate without gradients and put back the buffers it changed; torch's random state moves on as it would.

    (With the state put back too, a network that draws random numbers would pass for a deterministic one.)
    """
    saved = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    with torch.inference_mode(False), torch.no_grad(), evaluating(network):
        try:
            yield
        finally:
            for buffer, value in saved:
                if not torch.equal(buffer, value):
                    put_back(buffer, value)


def _logits(output: Any, n: int) -> Any:
    """Take the logits out of what libraries and people wrap them in."""
    try:
        return chosen_logits(output, n)[0]
    except NotAClassifierError as error:
        raise BlackBoxError(str(error)) from error
