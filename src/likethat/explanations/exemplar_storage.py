"""Exemplars on disk: a folder with numbers, pictures, a table or texts."""

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from likethat._cells import csv_of
from likethat._files import new_folder
from likethat._pictures import png_of
from likethat.explanations.saved import put_result

if TYPE_CHECKING:
    from likethat.explanations.exemplars import ExemplarSet

SCHEMA_VERSION = 1  # raised where a kept file could no longer be read (docs/records.md)
_MANIFEST = "exemplars.json"


def write_exemplars(exemplars: "ExemplarSet", path: Path, *, overwrite: bool = False) -> Path:
    """Write a folder; an earlier one there is replaced only when the new one is whole.

    It holds the record, whole (see `saved`), exemplars.json for other programs, and for people
    0.png, 1.png, ...; or table.csv; or texts.txt with one JSON string a line.

    Raises:
        InputError: something else stands at `path`.
        StorageError: the disk did not take it.
    """
    with new_folder(path, overwrite=overwrite) as folder:
        put_result(exemplars, folder)
        _write_inputs(exemplars.inputs, folder)
        text = json.dumps(_manifest(exemplars), ensure_ascii=False, indent=1, allow_nan=False)
        (folder / _MANIFEST).write_text(text, encoding="utf-8")
    return path


def _manifest(exemplars: "ExemplarSet") -> dict[str, Any]:
    status = exemplars.status
    return {
        "schema_version": SCHEMA_VERSION,
        "library": "likethat",
        "kind": exemplars.kind,
        "n": len(exemplars),
        "target": exemplars.target,
        "description": exemplars.description,
        "status": {"reached": status.reached, "reason": status.reason, "advice": status.advice},
        "queries": exemplars.queries,
        "shared_queries": exemplars.shared_queries,
        "diversity": None if math.isnan(exemplars.diversity) else exemplars.diversity,
        "class_names": list(exemplars.class_names),
        "method": exemplars.method,
        "options": dict(exemplars.options),
        "seed": exemplars.seed,
        "seconds": exemplars.seconds,
    }


def _write_inputs(inputs: Any, folder: Path) -> None:
    if isinstance(inputs, list):
        lines = "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in inputs)
        (folder / "texts.txt").write_text(lines, encoding="utf-8", errors="surrogatepass")
    elif not isinstance(inputs, Tensor):
        (folder / "table.csv").write_text(csv_of(inputs), encoding="utf-8")
    elif inputs.ndim == 4 and inputs.shape[1] in {1, 3}:
        for place, image in enumerate(inputs):
            (folder / f"{place}.png").write_bytes(png_of(image))
    else:
        buffer = io.StringIO()
        csv.writer(buffer).writerows(inputs.flatten(1).tolist())
        (folder / "table.csv").write_text(buffer.getvalue(), encoding="utf-8")
