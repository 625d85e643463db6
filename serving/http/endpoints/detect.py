"""``POST /v1/detect``: the verdict on a recording."""

from bonafide.audio import AudioStream
from bonafide.detection import Detection
from bonafide.detector import Detector
from bonafide.scoring import usable
from serving.http.endpoints import ScoringEndpoint


def answer(detector: Detector, stream: AudioStream) -> Detection:
    """Score a recording.

    Parameters
    ----------
    detector : Detector
        With the bundle that is served.
    stream : AudioStream
        The upload, with the service's limits.

    Returns
    -------
    Detection

    Raises
    ------
    AudioError
        What `Detector.score` and `usable` raise.
    """
    return usable(detector.score(stream))


ENDPOINT = ScoringEndpoint("detect", "Score one recording.", answer, judges=True)
