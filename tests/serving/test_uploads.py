"""Taking in a body: however it is cut up, whatever is in it."""

import asyncio
import errno
import stat
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from serving.http.errors import ApiError
from serving.http.uploads import MAX_PARTS, Upload, read_upload
from serving.settings import Settings

FORM = "multipart/form-data; boundary=bound"
BOUND = b"--bound\r\n"
AUDIO = b'Content-Disposition: form-data; name="audio"; filename="a"\r\nContent-Type: x/y\r\n\r\n'
NOTE = b'Content-Disposition: form-data; name="note"\r\n\r\n'

pieces_of = st.lists(st.integers(0, 600), max_size=8)
contents = st.binary(min_size=1, max_size=400).filter(lambda content: b"\r\n--bound" not in content)


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def receive(
    pieces: list[bytes], kind: str | bytes, limit_mb: float = 1.0, encoding: str = ""
) -> bytes:
    """Return the upload of a request whose body arrives in these pieces; nothing of it is left."""
    messages = iter(
        [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        + [{"type": "http.request", "body": b"", "more_body": False}]
    )

    async def next_message() -> dict[str, object]:
        return next(messages)

    value = kind if isinstance(kind, bytes) else kind.encode()
    headers = [(b"content-type", value)]
    if encoding:
        headers.append((b"content-encoding", encoding.encode()))
    scope = {"type": "http", "method": "POST", "headers": headers}
    request = Request(scope, next_message)
    with tempfile.TemporaryDirectory() as folder:
        upload = Upload(Path(folder) / "1-1.audio")
        try:
            asyncio.run(read_upload(request, Settings(max_body_mb=limit_mb), upload))
            content = upload.path.read_bytes()
            assert stat.S_IMODE(upload.path.stat().st_mode) == 0o600
            assert upload.size == len(content)
            return content
        finally:
            upload.close()
            assert not list(Path(folder).iterdir())


@settings(max_examples=200, deadline=None)
@given(contents, st.binary(max_size=50), pieces_of, st.booleans())
def test_a_form_gives_its_audio_however_it_is_cut(
    content: bytes, note: bytes, places: list[int], first: bool
) -> None:
    note = note.replace(b"\r\n", b"")
    parts = [AUDIO + content, NOTE + note]
    if not first:
        parts.reverse()
    body = BOUND + (b"\r\n" + BOUND).join(parts) + b"\r\n--bound--\r\n"
    assert receive(cut(body, places), FORM) == content


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=400), pieces_of)
def test_a_body_is_taken_as_it_is_however_it_is_cut(content: bytes, places: list[int]) -> None:
    assert receive(cut(content, places), "audio/flac") == content


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from([BOUND, AUDIO, NOTE, b"--bound--", b"\r\n"]), st.binary()),
        max_size=8,
    ),
    pieces_of,
)
def test_whatever_is_sent_as_a_form_is_taken_or_refused(
    parts: list[bytes], places: list[int]
) -> None:
    body = b"".join(parts)
    try:
        content = receive(cut(body, places), FORM)
    except ApiError as error:
        assert error.code in ("empty", "no_audio_field", "bad_multipart")
    else:
        assert content in body


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda b: FORM.encode() + b)))
def test_whatever_a_content_type_says_is_read_or_refused(kind: bytes) -> None:
    try:
        receive([BOUND + AUDIO + b"x\r\n--bound--\r\n"], kind)
    except ApiError as error:
        assert error.status == 400


@pytest.mark.parametrize("kind", [FORM, "audio/wav"])
def test_the_limit_is_on_the_whole_body(kind: str) -> None:
    body = BOUND + AUDIO + b"x" * 300 + b"\r\n--bound--\r\n"
    exactly = len(body) / 1e6
    taken = receive(cut(body, [50]), kind, exactly)
    assert taken == (b"x" * 300 if kind == FORM else body)
    with pytest.raises(ApiError, match=f"larger than the {len(body) - 1} bytes") as raised:
        receive(cut(body, [50]), kind, exactly - 1e-6)
    assert raised.value.code == "too_large" and raised.value.close


def test_a_form_has_no_more_than_a_few_parts() -> None:
    note = NOTE + b"x\r\n"
    body = BOUND + AUDIO + b"sound\r\n" + (BOUND + note) * (MAX_PARTS - 1) + b"--bound--\r\n"
    assert receive([body], FORM) == b"sound"
    for parts in ((BOUND + note), (b"--bound\r\nA:\r\n\r\n\r\n")):
        with pytest.raises(ApiError, match="more than the 100 parts allowed") as raised:
            receive([parts * 50] * 3, FORM)
        assert raised.value.code == "bad_multipart" and raised.value.close


LINES = {
    "a name": b"x" * 10_000,
    "a value": b"x: " + b"x" * 10_000,
    "many": b"x: y\r\n" * 3_000,
}


@pytest.mark.parametrize("name", LINES)
def test_a_part_has_no_more_than_a_few_lines(name: str) -> None:
    with pytest.raises(ApiError) as raised:
        receive([BOUND, LINES[name]], FORM)
    assert raised.value.code == "bad_multipart" and raised.value.close


PLAIN = {
    "Identity": True,
    "IDENTITY": True,
    "": True,
    "identity, Identity": True,
    "gzip": False,
    "GZip": False,
    "identity, gzip": False,
    "br": False,
}


@pytest.mark.parametrize("encoding", PLAIN)
def test_a_body_must_be_plain(encoding: str) -> None:
    if PLAIN[encoding]:
        assert receive([b"sound"], "audio/flac", encoding=encoding) == b"sound"
    else:
        with pytest.raises(ApiError, match="must be sent uncompressed") as raised:
            receive([b"sound"], "audio/flac", encoding=encoding)
        assert raised.value.code == "bad_encoding"


def test_a_full_disk_is_told_apart_from_a_bad_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Upload, __: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Upload, "add", full)
    with pytest.raises(ApiError, match="no room") as raised:
        receive([b"sound"], "audio/flac")
    assert raised.value.status == 503 and raised.value.close
