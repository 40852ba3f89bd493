"""Whom a client trusts, and what it shows of itself: certificates of both ends of a TLS connection."""

import os
import ssl
from pathlib import Path

from likethat._options import shown
from likethat.errors import InputError


class Certificates:
    """The files of a TLS connection.

    Args:
        ca: certificates to trust beside the system's own.
        certificate: what this client shows of itself where a service asks for it (PEM), with or without its key.
        key: the key of `certificate`, where it lies in a file of its own.
        password_env: name of the environment variable with the password of the key.

    Raises:
        InputError: a file that is not there, or a key or a password of no certificate.
    """

    def __init__(
        self,
        *,
        ca: str | Path | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        password_env: str | None = None,
    ) -> None:
        for name, path in (("ca", ca), ("certificate", certificate), ("certificate_key", key)):
            if path is not None and not Path(path).is_file():
                what = "a file with a key" if name == "certificate_key" else "a file of certificates"
                raise InputError(f"`{name}` must be {what}, got {str(path)!r}, which does not exist.")
        if certificate is None and (key is not None or password_env is not None):
            name = "certificate_key" if key is not None else "certificate_password_env"
            raise InputError(f"`{name}` must belong to a certificate, got none. Name its file: certificate=.")
        self._ca, self._certificate, self._key, self._password_env = ca, certificate, key, password_env

    def context(self, *, is_tls: bool) -> ssl.SSLContext:
        """Return how connections are made; for a service without TLS the quick one, which is not used.

        Raises:
            InputError: a file holds something else, the password is wrong, or there is no TLS to show a certificate in.
        """
        if self._certificate is not None and not is_tls:
            raise InputError("`certificate` must be shown over TLS, got an address of http. Give one of https.")
        context = ssl.create_default_context() if is_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ca is not None:
            try:
                context.load_verify_locations(cafile=str(self._ca))
            except ssl.SSLError as error:
                raise InputError(f"`ca` must be a file of certificates (PEM), got {str(self._ca)!r}.") from error
        if self._certificate is not None:
            self._show(context, str(self._certificate))
        return context

    def _password(self) -> str:
        return "" if self._password_env is None else os.environ.get(self._password_env, "")

    def _show(self, context: ssl.SSLContext, certificate: str) -> None:
        key = None if self._key is None else str(self._key)
        try:
            context.load_cert_chain(certificate, key, password=self._password)  # given, or OpenSSL asks the terminal
        except (ssl.SSLError, ValueError):  # a password may be too long for OpenSSL, which is then a ValueError
            raise InputError(
                f"`certificate` must be a certificate and its key (PEM), got {shown(certificate)}, which cannot be "
                "used. Name the file of its key, certificate_key=, and the environment variable with its password, "
                "certificate_password_env=, where there are such."
            ) from None
