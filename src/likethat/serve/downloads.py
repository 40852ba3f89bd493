"""Results as files to keep."""

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_KINDS = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "coco.json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "png": "image/png",
}
PAGE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""Of pages that are one file: all they need is in them, and nothing in them runs."""


def as_file(result: Any, name: str, ending: str) -> Response:
    """Return a result as a file that the browser keeps.

    Raises:
        HTTPException: 404, no result becomes such a file.
    """
    return sent(written(result, ending), name, ending)


def sent(data: bytes | str, name: str, ending: str) -> Response:
    """Return the content of a file as one that the browser keeps."""
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{name}.{ending}', safe='')}"}
    return Response(data, media_type=_KINDS[ending], headers=headers | {"Content-Security-Policy": PAGE_POLICY})


def one_of(request: Request, *endings: str) -> str:
    """Return the kind of file that a request wants, among those there are.

    Raises:
        HTTPException: 404, there is no such file of it.
    """
    ending: str = request.path_params["ending"]
    if ending not in endings:
        raise HTTPException(404, f"This is to be had as {', '.join(endings)}.")
    return ending


def written(result: Any, ending: str) -> bytes:
    """Return a result as the content of a file.

    Raises:
        HTTPException: 404, no result becomes such a file.
    """
    if ending not in _KINDS or (ending == "coco.json" and not hasattr(result, "to_coco")):
        raise HTTPException(404, f"This is to be had as {', '.join(_KINDS)}.")
    with tempfile.TemporaryDirectory(prefix="likethat-") as folder:
        return Path(result.save(Path(folder) / f"result.{ending}")).read_bytes()
