"""API errors: one shape, a status, and a code for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from starlette.responses import JSONResponse

# By code: of `bonafide.errors.AudioError`, of the scorer and of the service itself.
STATUS = {
    **dict.fromkeys(("bad_request", "empty", "no_audio_field", "bad_multipart"), 400),
    "upload_too_slow": 400,
    "unauthorized": 401,
    **dict.fromkeys(("keys_required", "bad_host", "cross_site", "callback_refused"), 403),
    **dict.fromkeys(("not_found", "no_record", "unknown_request"), 404),
    "method_not_allowed": 405,
    "request_too_slow": 408,
    **dict.fromkeys(("other_bundle", "ambiguous_request"), 409),
    "too_large": 413,
    "url_too_long": 414,
    **dict.fromkeys(("not_audio", "no_sound", "bad_encoding"), 415),
    **dict.fromkeys(("bad_format", "damaged", "not_finite", "decoder_crashed"), 422),
    **dict.fromkeys(("too_short", "too_long", "no_speech"), 422),
    "upgrade_required": 426,
    **dict.fromkeys(("busy", "over_rate"), 429),
    "header_too_large": 431,
    **dict.fromkeys(("not_ready", "no_room"), 503),
    "deadline": 504,
}


@dataclass(frozen=True)
class Reason:
    """Why a request has no answer: a code for programs, a message for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Error:
    """The body of every answer that is an error."""

    error: Reason


class ApiError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    code : str
        One of `STATUS`.
    message : str
        What was seen and what is allowed.
    retry_after_s : int
        Seconds after which to try again; 0 for no ``Retry-After``.
    close : bool
        Whether to close the connection, because the body is not read to its end.
    allow : sequence of str
        The methods that a path takes, where it takes another.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after_s: int = 0,
        close: bool = False,
        allow: Sequence[str] = ("POST",),
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.allow = code, message, allow
        self.retry_after_s, self.close = retry_after_s, close

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.code]

    def response(self) -> JSONResponse:
        """Return the response with its status, body and headers."""
        headers = {}
        if self.retry_after_s:
            headers["retry-after"] = str(self.retry_after_s)
        if self.status == 405:
            headers["allow"] = ", ".join(self.allow)
        if self.status == 426:
            headers |= {"upgrade": "websocket", "connection": "upgrade"}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.close:
            headers["connection"] = "close"
        return error_response(self.status, self.code, self.message, headers)


def error_response(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return ``{"error": {"code", "message"}}``."""
    return JSONResponse(asdict(Error(Reason(code, message))), status, headers)
