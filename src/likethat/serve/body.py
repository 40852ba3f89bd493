"""Reading what a request carries: no more than a server takes on, and no longer than it waits."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request


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


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"A request must have at most {most:,} bytes here, got more. Send a smaller picture.")
