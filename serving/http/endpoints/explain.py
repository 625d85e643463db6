"""``POST /v1/explain``: the verdict on a recording, and what it rests on."""

from functools import lru_cache

from bonafide.audio import AudioStream
from bonafide.detector import Detector
from bonafide.explanation import Explained, Explainer
from bonafide.scoring import usable
from serving.http.endpoints import ScoringEndpoint

# A scorer has one detector; what explains it is loaded when somebody asks.
_explainer = lru_cache(maxsize=1)(Explainer)


def answer(detector: Detector, stream: AudioStream) -> Explained:
    """Score a recording, and explain the result.

    Parameters
    ----------
    detector : Detector
        With the bundle that is served.
    stream : AudioStream
        The upload, with the service's limits.

    Returns
    -------
    Explained

    Raises
    ------
    AudioError
        What `Detector.score` and `usable` raise.
    BundleError
        What `Explainer` raises.
    """
    explained = _explainer(detector).explain(stream)
    usable(explained)
    return explained


ENDPOINT = ScoringEndpoint(
    "explain", "Score one recording, and tell which seconds, bands and models it rests on.", answer
)
