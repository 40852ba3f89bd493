"""How a service is spoken to, as its user says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from likethat._options import shown
from likethat.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """How a service is spoken to.

    Attributes:
        token_env: name of the environment variable with the credential; it is read anew for each request.
        token_header: header that carries it; "Authorization" sends ``Bearer <credential>``.
        headers: further headers, by name, or a list of ``Name: value`` and ``@FILE`` (see `OwnHeaders`).
        ca: file of certificates to trust beside the system's own.
        certificate: file of the certificate that this client shows (PEM), with or without its key.
        certificate_key: file of its key, where that is another one.
        certificate_password_env: name of the environment variable with the key's password.
        timeout: seconds for one request, from the connection to the last byte of the answer.
        retries: how often a request is repeated after 408, 425, 429, 5xx, or a connection that failed.
        backoff: seconds before the first repetition, at most; doubled each time, drawn at random below that.
        rate: requests a second, at most; None for no limit.
        concurrency: requests under way at once.
        max_answer: bytes of an answer, at most, also after unpacking.
    """

    token_env: str | None = None
    token_header: str = "Authorization"  # noqa: S105
    headers: Mapping[str, str] | Sequence[str] | None = field(default=None, repr=False)
    ca: str | Path | None = None
    certificate: str | Path | None = None
    certificate_key: str | Path | None = None
    certificate_password_env: str | None = None
    timeout: float = 30.0
    retries: int = 4
    backoff: float = 0.5
    rate: float | None = None
    concurrency: int = 1
    max_answer: int = 64 * 2**20

    def __post_init__(self) -> None:
        for name, least in (("timeout", 1e-3), ("backoff", 0.0), ("retries", 0), ("concurrency", 1), ("max_answer", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
                raise InputError(f"`{name}` must be a number of at least {least}, got {shown(value)}.")
        if self.rate is not None and not (isinstance(self.rate, int | float) and self.rate > 0):
            raise InputError(f"`rate` must be requests a second, more than 0, got {shown(self.rate)}.")
