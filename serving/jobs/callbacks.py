"""Callbacks: where they may go, and how they are signed and sent.

Signed as Standard Webhooks has it (https://www.standardwebhooks.com), so that receivers check them
with a library of theirs.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from bonafide.errors import ConfigError

LONGEST_S = 10.0  # for a receiver to answer
MAX_URL = 2_000  # characters
GONE = 410  # a receiver that wants no more
PREFIX = "whsec_"  # of a secret
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
PORTS = {"http": 80, "https": 443}
ANY = "any-0f3a"  # in the place of *, while an origin is read
UNICAST = ipaddress.ip_network("2000::/3")  # where public addresses of IPv6 are
DOCUMENTATION = ipaddress.ip_network("3fff::/20")


class CallbackError(Exception):
    """Why a callback may not be sent, or was not taken.

    Parameters
    ----------
    message : str
        For the log, and for who asked for it.
    final : bool
        Whether it need not be tried again.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


@dataclass(frozen=True)
class Allowed:
    """Where callbacks may go.

    Parameters
    ----------
    origins : tuple of str
        ``scheme://host:port``, or ``https://*.example.com``, or ``https://*``.
    """

    origins: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Allowed":
        """Read what an operator allows.

        Parameters
        ----------
        text : str
            Origins, separated by commas.

        Returns
        -------
        Allowed

        Raises
        ------
        ConfigError
            ``bad_setting`` for what is no origin.

        Examples
        --------
        >>> Allowed.of("https://hooks.example.com, http://10.0.0.5:8080").origins
        ('https://hooks.example.com:443', 'http://10.0.0.5:8080')
        """
        named = [each.strip() for each in text.split(",") if each.strip()]
        return cls(tuple(_allowed_origin(each) for each in named))

    def check(self, url: str) -> bool:
        """Check that a callback may go to an address.

        Parameters
        ----------
        url : str
            Of the callback.

        Returns
        -------
        bool
            Whether it is named itself: then it may lie in a private network.

        Raises
        ------
        CallbackError
            If it may not.
        """
        parts = _split(url)
        host = f"{parts.hostname}"
        origin = _origin(parts)
        if origin in self.origins:
            return True
        port = parts.port or PORTS[parts.scheme]
        labels = host.split(".")
        wider = {"*", *(".".join(["*", *labels[i:]]) for i in range(1, len(labels)))}
        if any(f"{parts.scheme}://{each}:{port}" in self.origins for each in wider):
            return False
        raise CallbackError(f"{origin} is not among the places that this service may call back")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Both readers must understand the same host: what is checked is what is called.
        same = httpx.URL(url).host == f"{parts.hostname}"
        sound = parts.scheme in PORTS and same and "*" not in parts.netloc and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        sound = False
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL
    if not sound or not plain or parts.username is not None or parts.fragment:
        raise CallbackError(
            f"{url[:80]!r} must be a plain URL of http or https, of at most {MAX_URL} characters, "
            "without a user's name or a fragment"
        )
    return parts


def _origin(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in f"{parts.hostname}" else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORTS[parts.scheme]}"


def _allowed_origin(text: str) -> str:
    plain = text.replace("//*.", f"//{ANY}.").replace("//*", f"//{ANY}")
    try:
        parts = _split(plain)
        if parts.path.strip("/") or parts.query:
            raise CallbackError(f"{text!r} must not name a path")
    except CallbackError as error:
        message = f"BONAFIDE_CALLBACKS={text!r}: must be such as https://hooks.example.com: {error}"
        raise ConfigError("bad_setting", message) from error
    return _origin(parts).replace(ANY, "*")


def secret_of(text: str) -> bytes:
    """Read the secret that callbacks are signed with.

    Parameters
    ----------
    text : str
        ``whsec_`` and base64 of 24 to 64 bytes.

    Returns
    -------
    bytes

    Raises
    ------
    ConfigError
        ``bad_setting`` for another; the message does not repeat it.
    """
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(PREFIX) or not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        needed = f"{PREFIX} and base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        raise ConfigError("bad_setting", f"BONAFIDE_CALLBACK_SECRET: must be {needed}")
    return secret


def signed(secret: bytes, message_id: str, body: bytes, now_s: int) -> dict[str, str]:
    """Return the headers of a callback.

    Parameters
    ----------
    secret : bytes
        From `secret_of`.
    message_id : str
        The same each time that it is sent, so that a receiver takes it once.
    body : bytes
        What is sent.
    now_s : int
        Seconds since 1970.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> signed(b"0" * 24, "msg_1", b"{}", 1_700_000_000)["webhook-signature"][:11]
    'v1,lZCQ3mLX'
    """
    content = b".".join((message_id.encode(), str(now_s).encode(), body))
    digest = base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{digest}",
        "content-type": "application/json",
        "user-agent": "bonafide",
    }


async def address_of(host: str, port: int, *, private: bool) -> str:
    """Return the address that a callback goes to, looked up once.

    Parameters
    ----------
    host : str
        A name or an address.
    port : int
        Of the receiver.
    private : bool
        Whether it may lie in a private network, or on this machine.

    Returns
    -------
    str

    Raises
    ------
    CallbackError
        If it has none, or one of its addresses is not public.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CallbackError(f"{host} has no address") from error
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    if not private and not all(_is_public(each) for each in addresses):
        raise CallbackError(f"{host} has an address that is not public, and is not named itself")
    return str(addresses[0])


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in UNICAST or address in DOCUMENTATION or address.sixtofour is not None
    ):
        return False  # an IPv4 address in other clothes, or of a network of one's own
    return address.is_global and not address.is_multicast


def new_client() -> httpx.AsyncClient:
    """Return a client that goes nowhere else: no redirects, no proxies, and not for long."""
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=LONGEST_S)


async def send(
    client: httpx.AsyncClient, allowed: Allowed, url: str, body: bytes, headers: dict[str, str]
) -> None:
    """Send a callback once.

    Parameters
    ----------
    client : httpx.AsyncClient
        From `new_client`.
    allowed : Allowed
        Where it may go: asked again, since that may have changed.
    url : str
        Where to.
    body : bytes
        JSON.
    headers : dict of str to str
        From `signed`.

    Raises
    ------
    CallbackError
        If it may not be sent, or is not taken.
    """
    try:
        private = allowed.check(url)
    except CallbackError as error:
        raise CallbackError(str(error), final=True) from error
    parts = _split(url)
    host = f"{parts.hostname}"
    address = await address_of(host, parts.port or PORTS[parts.scheme], private=private)
    # To the address that was checked, whatever the name leads to by now.
    request = client.build_request(
        "POST",
        httpx.URL(url).copy_with(host=address),
        content=body,
        headers={**headers, "host": parts.netloc},
        extensions={"sni_hostname": host},
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            response = await client.send(request, stream=True)
            await response.aclose()
    except (httpx.HTTPError, TimeoutError, OSError) as error:
        raise CallbackError(f"{_origin(parts)} does not answer ({type(error).__name__})") from error
    if not response.is_success:
        message = f"{_origin(parts)} answers {response.status_code}"
        raise CallbackError(message, final=response.status_code == GONE)
