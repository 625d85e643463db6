"""Uploads: multipart or raw bodies, counted while they arrive, and written to a file."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from serving.http.errors import ApiError
from serving.settings import Settings

log = logging.getLogger("bonafide.serve")

FIELD = "audio"
MAX_HEADER_BYTES = 8_192
MAX_PARTS = 100


class Upload:
    """The audio of a request as it arrives: a file that is removed with the request.

    Parameters
    ----------
    path : Path
        Where it is written; created with the first byte.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._file: FileIO | None = None

    def add(self, piece: bytes | memoryview) -> None:
        """Write the next bytes."""
        if self._file is None:
            self._file = FileIO(
                os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
            )
        self.size += len(piece)
        while piece := piece[self._file.write(piece) :]:  # a nearly full disk takes only a part
            pass

    def keep(self, content: bytes) -> None:
        """Write all that there is, and close the file.

        Raises
        ------
        ApiError
            ``no_room`` where it cannot be written.
        """
        try:
            self.add(content)
        except OSError as error:
            raise no_room(error) from error
        self.seal()

    def seal(self) -> None:
        """Close the file and leave it in place."""
        if self._file is not None:
            self._file.close()

    def close(self) -> None:
        """Remove the file."""
        self.seal()
        self.path.unlink(missing_ok=True)


async def read_upload(request: Request, settings: Settings, upload: Upload) -> None:
    """Read the audio of a request: the field ``audio`` of a form, or else the body itself.

    Parameters
    ----------
    request : Request
        Its body is not read yet.
    settings : Settings
        The limits on size and time.
    upload : Upload
        Where the audio goes.

    Raises
    ------
    ApiError
        ``too_large``, ``empty``, ``bad_encoding``, ``bad_multipart``, ``no_audio_field``,
        ``upload_too_slow`` or ``no_room``.
    starlette.requests.ClientDisconnect
        If the client goes away.
    """
    if not _is_plain(request.headers.getlist("content-encoding")):
        raise ApiError(
            "bad_encoding", "the body is compressed; it must be sent uncompressed", close=True
        )
    kind, options = parse_options_header(request.headers.get("content-type"))
    pieces = limited_body(request, settings.max_body_bytes)
    try:
        async with asyncio.timeout(settings.upload_s):
            if kind == b"multipart/form-data":
                await _read_form(pieces, options.get(b"boundary", b""), upload)
            else:
                async for piece in pieces:
                    upload.add(piece)
    except TimeoutError as error:
        message = f"the body took longer than the {settings.upload_s:g} s limit to arrive"
        raise ApiError("upload_too_slow", message, close=True) from error
    except OSError as error:
        raise no_room(error) from error
    if not upload.size:
        raise ApiError("empty", "the upload is empty (0 bytes)")
    upload.seal()


def no_room(error: OSError) -> ApiError:
    """Return the answer to an upload that could not be written; the log says why."""
    log.error("an upload could not be kept: %s", error.strerror)
    return ApiError("no_room", "no room is left for uploads", close=True)


def _is_plain(encodings: list[str]) -> bool:
    """Return whether content encodings change nothing."""
    named = (name.strip().lower() for line in encodings for name in line.split(","))
    return all(name in ("", "identity") for name in named)


async def limited_body(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body of a request in pieces.

    Parameters
    ----------
    request : Request
        Its body is not read yet.
    most : int
        Bytes that are allowed.

    Yields
    ------
    bytes

    Raises
    ------
    ApiError
        ``too_large`` as soon as it is larger.
    """
    message = f"the body is larger than the {most} bytes allowed"
    promised = request.headers.get("content-length", "0")
    if promised.isdecimal() and int(promised) > most:
        raise ApiError("too_large", message, close=True)
    seen = 0
    async for piece in request.stream():
        seen += len(piece)
        if seen > most:
            raise ApiError("too_large", message, close=True)
        yield piece


async def _read_form(pieces: AsyncIterator[bytes], boundary: bytes, upload: Upload) -> None:
    if not boundary:
        raise ApiError("bad_multipart", "multipart/form-data without a boundary", close=True)
    form = _Form(upload)
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        async for piece in pieces:
            parser.write(piece)
    except FormParserError as error:
        raise ApiError("bad_multipart", f"not a multipart body: {error}", close=True) from error
    if not form.ended:
        raise ApiError("bad_multipart", "the multipart body breaks off before its last boundary")
    if form.found != 1:
        raise ApiError(
            "no_audio_field", f"the form has {form.found} fields named {FIELD!r}; must have one"
        )


class _Form:
    """Follows the parser; keeps the bytes of the one field and nothing of the others."""

    def __init__(self, upload: Upload) -> None:
        self.found, self.ended, self._parts = 0, False, 0
        self._upload = upload
        self._header, self._value, self._wanted = b"", b"", False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._wanted = False
        self._parts += 1
        if self._parts > MAX_PARTS:
            message = f"the form has more than the {MAX_PARTS} parts allowed"
            raise ApiError("bad_multipart", message, close=True)

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._bound()

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound()

    def _bound(self) -> None:
        if len(self._header) + len(self._value) > MAX_HEADER_BYTES:
            raise ApiError("bad_multipart", "a part's header is too long", close=True)

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if options.get(b"name") == FIELD.encode():
                self._wanted = True
                self.found += 1
        self._header, self._value = b"", b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self._upload.add(memoryview(data)[start:end])

    def _end(self) -> None:
        self.ended = True
