"""What is known of a call while it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.http.keys import Key

CALL = "bonafide.call"  # where the scope of a request has its call


@dataclass
class Call:
    """A call of the API: for its limits, the log, the audit log and its trace.

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
    endpoint : str
        Name of the endpoint that scores; empty for other calls.
    bundle : str
        Name and version of the one that answered; of the one in production until then.
    timings : mapping of str to float
        Seconds that each stage took.
    """

    request_id: str
    key: Key | None = None
    status: int = 0
    code: str = "ok"
    verdict: str | None = None
    size: int = 0
    endpoint: str = ""
    bundle: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
