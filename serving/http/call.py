"""What is known of a call while it is answered."""

from dataclasses import dataclass

from serving.http.keys import Key


@dataclass
class Call:
    """A call of the API: for its limits, the log and the audit log.

    Parameters
    ----------
    request_id : str
        Its ID.
    key : Key or None
        Whose it is; None without keys.
    status : int
        HTTP status of the answer; 0 until there is one.
    code : str
        ``ok``, or that of the error.
    verdict : str or None
        The answer's, if it has one.
    size : int
        Bytes of audio.
    """

    request_id: str
    key: Key | None = None
    status: int = 0
    code: str = "ok"
    verdict: str | None = None
    size: int = 0
