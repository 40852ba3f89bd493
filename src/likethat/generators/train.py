"""One call to train a generator, whatever the inputs are."""

from typing import Any

from likethat._checks import check_choice
from likethat._session import in_own_session

__all__ = ["train_generator"]

KINDS = ("image", "table", "text")


@in_own_session(grad=True)
def train_generator(data: Any, *, kind: str = "image", method: str = "vae", **options: Any) -> Any:
    """Train a generator on your data.

    Args:
        data: for images, a folder, arrays, tensors in [0, 1] or a data set; for a table, a DataFrame or a CSV or
            Parquet file; for texts, a list or a text file with one text a line.
        kind: "image", "table" or "text".
        method: for images, "vae" (one pass from a short latent) or "flow" (a denoiser too; crisper, slower).
        **options: of the training: ``seed``, ``checkpoint``, ``resume``, ``watch``, ``latent_dim``; for images also
            ``size``, ``mirror`` and ``device``. See `train_image_vae`, `train_flow`, `train_table`, `train_text`.

    Returns:
        A `LatentGenerator` with ``.save(folder)``; `likethat.load_generator` opens the folder.

    Raises:
        InputError: data that cannot be learned from, or a checkpoint of another training.
    """
    check_choice(kind, name="kind", choices=KINDS)
    check_choice(method, name="method", choices=("vae", "flow") if kind == "image" else ("vae",))
    if kind == "table":
        from likethat.generators.table_training import train_table

        return train_table(data, **options)
    if kind == "text":
        from likethat.generators.text_training import train_text

        return train_text(data, **options)
    from likethat.generators.image_training import train_flow, train_image_vae

    return (train_flow if method == "flow" else train_image_vae)(data, **options)
