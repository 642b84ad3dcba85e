"""Who may ask: keys, the names of the server, and pages of other sites."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from ramen.errors import InputError

_HOST = re.compile(r"([\w.-]+|\[[\da-fA-F:.]+\])(:\d*)?", re.ASCII)
Headers = list[tuple[bytes, bytes]]


class Refused(Exception):
    """A request that is refused.

    Args:
        status: of HTTP.
        error: one line.
        headers: of the response.
    """

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.headers = status, error, headers or {}


class Access:
    """Checks the key, ``Host`` and ``Origin`` of requests.

    A page of another site that resolves its own name to this server (DNS rebinding) sends that name as ``Host``; one
    that posts to this server sends its address as ``Origin``.

    Args:
        key: that requests must send as ``Authorization: Bearer KEY``; "" for none.
        hosts: names of the server besides its addresses, localhost and the machine's name; "*" for any ``Host``, but an
            ``Origin`` must be that of the ``Host`` or a name given here.

    Example:
        >>> Access("", ["tags.example.org"]).check([(b"host", b"tags.example.org:8000")], needs_key=True)
        >>> Access("").check([(b"host", b"evil.example")], needs_key=False)
        Traceback (most recent call last):
        ramen.serve.access.Refused: Host: found 'evil.example', expected an address, localhost or a name of --allow-host
    """

    def __init__(self, key: str, hosts: Iterable[str] = ()) -> None:
        self.key = key.encode()
        self.named = {name.lower() for name in hosts}
        self.hosts = self.named | {"localhost", socket.gethostname().lower()}

    def check(self, headers: Headers, needs_key: bool) -> None:
        """Check a request.

        Raises:
            Refused: 403 for a wrong ``Host`` or ``Origin``, 401 for a missing or wrong key.
        """
        if sum(name == b"host" for name, _ in headers) > 1:
            raise Refused(403, "Host: found several, expected one")
        sent = {name: value for name, value in headers if name in (b"host", b"origin", b"authorization")}
        host = sent.get(b"host", b"").decode("latin-1")
        if host and not self._is_ours(host):
            raise Refused(403, f"Host: found {host!r}, expected an address, localhost or a name of --allow-host")
        origin = sent.get(b"origin", b"").decode("latin-1")
        if origin and not self._is_same(origin, host):
            raise Refused(403, f"Origin: found {origin!r}, expected no page of another site")
        if needs_key and self.key and not self._has_key(sent.get(b"authorization", b"")):
            error = "expected the header Authorization: Bearer KEY with the server's key"
            raise Refused(401, error, {"WWW-Authenticate": "Bearer"})

    def _is_ours(self, host: str) -> bool:
        name = _name(f"//{host}") if _HOST.fullmatch(host) else ""
        return bool(name) and (name in self.hosts or "*" in self.hosts or _is_address(name))

    def _is_same(self, origin: str, host: str) -> bool:
        try:
            return urlsplit(origin).netloc.lower() == host.lower() or _name(origin) in self.named
        except ValueError:
            return False

    def _has_key(self, authorization: bytes) -> bool:
        scheme, _, key = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(key.strip(), self.key)


def _name(address: str) -> str:
    """Return the host of an address in lower case; "" for none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is reached from this machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def read_key(variable: str) -> str:
    """Return a key from an environment variable, or from the file that ``VARIABLE_FILE`` names; "" for none.

    Raises:
        InputError: both are set, the key is empty or has a space or a line break, or the file cannot be read.
    """
    key, path = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    if key is not None and path is not None:
        raise InputError(f"{variable} and {variable}_FILE: found both, expected one of the two")
    source = variable
    if path is not None:
        source = f"{variable}_FILE {path}"
        try:
            key = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            raise InputError(f"{source}: expected a file with the key: {error}") from error
    if key is None:
        return ""
    if not key.strip():
        raise InputError(f"{source}: found an empty key; unset it to serve without a key")
    if any(letter.isspace() for letter in key) or not key.isascii() or not key.isprintable():
        raise InputError(f"{source}: expected ASCII letters, digits and signs without spaces")
    return key
