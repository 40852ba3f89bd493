"""How much a server takes on: of one request, of one visitor, and of all together."""

from dataclasses import dataclass

from likethat._checks import check_count

_MEGABYTE = 2**20  # bytes


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a server takes on; what is beyond is refused in one sentence.

    Attributes:
        upload: bytes of one dropped picture; the photos of today's cameras have 3 to 15 MB.
        pixels: of one dropped picture; as numbers it takes 12 bytes a pixel.
        pictures: dropped pictures that are kept of one visitor; the oldest goes first.
        kept: bytes of dropped pictures that are kept of all visitors.
        notebooks: visitors whose names of units are kept, where a bank does not keep them itself.
        explanations: results that are kept, so that a page and its downloads are computed once.
        maps: bytes of feature maps of each bank's pictures that are kept, for finding what looks like a mark.
        looking: seconds that a mark's page takes to look through a bank's pictures; asked again, it looks further.
        workers: questions to the models that are worked on at once: each takes the cores there are.
        waiting: questions that are worked on or wait; beyond it the server says that it is busy.
        searches: made inputs that are sought at once; each takes the cores there are.
        asked: searches of one visitor that are under way or wait.
        queued: searches of all visitors that are under way or wait.
        queries: that one search may ask.
        made: bytes of the inputs that one search makes and keeps until it ends: large ones get fewer queries.
        results: searches of one visitor that have ended and are kept; the oldest goes first.
        found: bytes of what searches of all visitors found that are kept.
        seconds: that a request may take to arrive.
        instances: images of one question of a program; they are one batch of the network.
        explained: images of one question of a program that are explained: each takes as long as a page.
    """

    upload: int = 20 * _MEGABYTE
    pixels: int = 50_000_000
    pictures: int = 8
    kept: int = 256 * _MEGABYTE
    notebooks: int = 1000
    explanations: int = 32
    maps: int = 128 * _MEGABYTE
    looking: int = 2
    workers: int = 2
    waiting: int = 16
    searches: int = 1
    asked: int = 2
    queued: int = 8
    queries: int = 1000
    made: int = 512 * _MEGABYTE
    results: int = 8
    found: int = 256 * _MEGABYTE
    seconds: int = 60
    instances: int = 256
    explained: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_count(value, name=name)
