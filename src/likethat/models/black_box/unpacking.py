"""Unpack what a service packed, and not one byte more than is allowed."""

import zlib

_AUTOMATIC = 47  # zlib's word for: a gzip or a zlib header, whichever comes
_BARE = -15  # deflate without a header, which some services send


class TooLargeError(Exception):
    """More comes out than is allowed."""


class BadPackingError(Exception):
    """Packed in another way than once by gzip or deflate, or damaged."""


def unpacked(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Return the content of a body.

    Args:
        body: as it came.
        encoding: value of the header Content-Encoding.
        limit: bytes that may come out.

    Raises:
        TooLargeError: more comes out.
        BadPackingError: another packing, two of them in each other, or a damaged one.

    Example:
        >>> unpacked(zlib.compress(b"ab" * 500), "deflate", limit=1000)[:4]
        b'abab'
    """
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if not names:
        return body
    if len(names) > 1 or names[0] not in ("gzip", "x-gzip", "deflate"):
        raise BadPackingError
    try:
        return _inflated(body, _AUTOMATIC, limit)
    except zlib.error:
        if names[0] != "deflate":
            raise BadPackingError from None
    try:
        return _inflated(body, _BARE, limit)
    except zlib.error:
        raise BadPackingError from None


def _inflated(body: bytes, form: int, limit: int) -> bytes:
    content = bytearray()
    while body:  # a gzip file may be several behind each other
        machine = zlib.decompressobj(form)
        content += machine.decompress(body, limit + 1 - len(content))
        if len(content) > limit:
            raise TooLargeError
        if not machine.eof:
            raise zlib.error("cut short")
        body = machine.unused_data
    return bytes(content)
