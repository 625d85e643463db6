"""Where callbacks may go, and how they are signed."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonafide.errors import ConfigError
from serving.jobs import callbacks
from serving.jobs.callbacks import Allowed, CallbackError, address_of, secret_of, signed

ALLOWED = Allowed.of("https://hooks.example.com, http://10.0.0.5:8080, https://*.example.org")
ANYWHERE = Allowed.of("https://*")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/",
        "https://hooks.example.com:443/a?b=c",
        "https://HOOKS.example.com/a",
        "http://10.0.0.5:8080/x",
    ],
)
def test_what_is_named_may_be_called(url: str) -> None:
    assert ALLOWED.check(url) is True


@pytest.mark.parametrize("url", ["https://a.example.org/", "https://a.b.example.org/x"])
def test_what_is_below_a_name_may_be_called_where_it_is_public(url: str) -> None:
    assert ALLOWED.check(url) is False


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://hooks.example.com.evil.net/",
        "https://evil.net/hooks.example.com",
        "https://hooks.example.com@evil.net/",
        "https://user:secret@hooks.example.com/",
        "https://example.org/",
        "https://notexample.org/",
        "http://10.0.0.5/",
        "http://10.0.0.5:8081/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "//hooks.example.com/",
        "https://hooks.example.com\\@evil.net/",
        "https://hooks.example.com /",
        "https://hooks.example.com/\r\nHost: evil.net",
        "https://hooks.example.com/#fragment",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://[::1/",
        "https://[2606:4700::1].example.org/x",
        "https://*.example.org/x",
        "https://*/",
        "https://hooks.example.com/" + "a" * 3_000,
        "https://\u0430.example.org/",
        "",
    ],
)
def test_nothing_else_may(url: str) -> None:
    with pytest.raises(CallbackError):
        ALLOWED.check(url)


@given(st.text(max_size=100))
def test_whatever_is_asked_is_answered_or_refused(url: str) -> None:
    for allowed in (ALLOWED, ANYWHERE, Allowed(())):
        try:
            assert allowed.check(url) is False
        except CallbackError as error:
            assert str(error)


@pytest.mark.parametrize(
    "text",
    ["hooks.example.com", "https://a/b", "https://a?b", "ftp://a", "https://", "https://u@a"],
)
def test_what_is_no_origin_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match="BONAFIDE_CALLBACKS=") as seen:
        Allowed.of(text)
    assert seen.value.code == "bad_setting"


def looked_up(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def found(*_: Any, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (each, 443)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
    *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1", "::ffff:0:7f00:1"),
    *("fec0::1", "64:ff9b:1::1", "5f00::1", "3fff::1", "2001:db8::1"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    for found in ((address,), ("93.184.216.34", address)):
        looked_up(monkeypatch, *found)
        with pytest.raises(CallbackError, match="not public"):
            asyncio.run(address_of("a.example.org", 443, private=False))
    assert asyncio.run(address_of("a.example.org", 443, private=True)) == "93.184.216.34"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_a_public_one_is_taken(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    looked_up(monkeypatch, address)
    assert asyncio.run(address_of("a.example.org", 443, private=False)) == address


@pytest.mark.parametrize("host", ["nosuch.invalid", "a" * 64 + ".example.org", "\u00e4" * 70])
def test_a_name_without_an_address_is_said_to_have_none(host: str) -> None:
    with pytest.raises(CallbackError, match="has no address"):
        asyncio.run(address_of(host, 443, private=True))


def test_the_name_is_looked_up_once_and_that_address_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that leads elsewhere the second time (DNS rebinding) does not."""
    lookups = iter([["93.184.216.34"], ["127.0.0.1"]])
    real = asyncio.BaseEventLoop.getaddrinfo

    async def found(self: Any, host: Any, port: Any, **more: Any) -> list[Any]:
        if host == "a.example.org":
            return [(0, 0, 0, "", (each, port)) for each in next(lookups)]
        return await real(self, host, port, **more)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)
    asked = []

    class Client:
        build_request = callbacks.new_client().build_request

        async def send(self, request: Any, *, stream: bool) -> Any:
            asked.append(request)
            raise OSError

    with pytest.raises(CallbackError, match="does not answer"):
        asyncio.run(
            callbacks.send(Client(), ALLOWED, "https://a.example.org/x?y=1", b"{}", {})  # type: ignore[arg-type]
        )
    (request,) = asked
    assert str(request.url) == "https://93.184.216.34/x?y=1"
    assert request.headers["host"] == "a.example.org"
    assert request.extensions["sni_hostname"] == "a.example.org"
    assert next(lookups) == ["127.0.0.1"]  # nobody asked again


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The example of its specification's reference implementation."""
    secret = secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = json.dumps({"test": 2432232314}).encode()
    headers = signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", body, 1_614_265_330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    content = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + body
    expected = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("text", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA", "whsec_!!"])
def test_a_secret_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="BONAFIDE_CALLBACK_SECRET: must be whsec_") as seen:
        secret_of(text)
    assert not text.removeprefix("whsec_") or text.removeprefix("whsec_") not in str(seen.value)
