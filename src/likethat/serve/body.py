"""Reading what a request carries: no more than a server takes on, and no longer than it waits."""

import asyncio
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from likethat._documents import Damaged, parse_json

__all__ = ["read_body", "read_document"]


async def read_body(request: Request, *, most: int, seconds: int) -> bytes:
    """Return the body of a request.

    Raises:
        HTTPException: 413 for more bytes, 408 where it does not arrive in time.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:18]) > most:
        raise _too_large(most)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError as error:
        raise HTTPException(408, f"A request must arrive within {seconds} s, and did not.") from error
    return bytes(body)


async def read_document(request: Request, *, most: int, seconds: int) -> dict[str, Any]:
    """Return the JSON object that a request carries.

    Raises:
        HTTPException: as `read_body`; 415 for what is not said to be JSON, 400 for what is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "A question must be JSON, with Content-Type: application/json.")
    body = await read_body(request, most=most, seconds=seconds)
    try:
        document = parse_json(body)
    except Damaged as damage:
        raise HTTPException(400, f"A question must be JSON; this one {damage}.") from damage
    if not isinstance(document, dict):
        raise HTTPException(400, 'A question must be a JSON object, such as {"instances": [...]}.')
    return document


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"A request must have at most {most:,} bytes here, got more. Send a smaller picture.")
