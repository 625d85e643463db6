"""``POST /v1/provenance``: what a file itself says of its origin."""

from bonafide.audio import AudioStream
from bonafide.detector import Detector
from bonafide.provenance import Origin, examine
from serving.http.endpoints import ScoringEndpoint


def answer(detector: Detector, stream: AudioStream) -> Origin:
    """Examine a file; the bundle is not asked.

    Parameters
    ----------
    detector : Detector
        With the bundle that is served.
    stream : AudioStream
        The upload, with the service's limits.

    Returns
    -------
    Origin

    Raises
    ------
    AudioError
        What `examine` raises.
    """
    return examine(stream)


ENDPOINT = ScoringEndpoint(
    "provenance", "What a file itself says of its origin: findings, and never a verdict.", answer
)
