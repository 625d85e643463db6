"""``POST /v1/peak``: the segment that sounds most generated."""

from bonafide.audio import AudioStream
from bonafide.detection import Segment
from bonafide.detector import Detector
from bonafide.scoring import usable
from serving.http.endpoints import ScoringEndpoint


def answer(detector: Detector, stream: AudioStream) -> Segment:
    """Return the segment of highest p_spoof."""
    return max(usable(detector.score(stream)).segments, key=lambda each: each.p_spoof)


ENDPOINT = ScoringEndpoint("peak", "The segment that sounds most generated.", answer)
