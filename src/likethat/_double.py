"""Numbers in double precision, also of a device that has none."""

from torch import Tensor

_SINGLE = {"mps"}  # devices without float64; a cast there raises


def double(values: Tensor) -> Tensor:
    """Return values in float64: where they lie, or on the CPU where their device has no float64."""
    return (values.cpu() if values.device.type in _SINGLE else values).double()
