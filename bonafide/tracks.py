"""Which tracks and channels of a file are judged, and which of them speaks for it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from bonafide.audio import AudioStream
from bonafide.detection import Caution, Judged, Track
from bonafide.errors import AudioError

MAX_TRACKS_JUDGED = 8  # tracks, or channels of tracks, each decoded and scored on its own
ORDER = ("bonafide", "inconclusive", "partly_spoof", "spoof")

Score = Callable[[AudioStream], Judged]
Some = TypeVar("Some", bound=Judged)


def most_suspicious(results: Sequence[Some]) -> Some:
    """Return the result that speaks for a file.

    Parameters
    ----------
    results : sequence of Judged
        At least one.

    Returns
    -------
    Judged
        By verdict: spoof, then partly_spoof, then inconclusive, then bonafide; among equal verdicts
        the one of the highest p_spoof, and among equals the first. Results without enough sound for
        a verdict count only if all are so.
    """
    return max(
        results, key=lambda each: (each.has_verdict, ORDER.index(each.verdict), each.p_spoof)
    )


def judge_tracks(stream: AudioStream, score: Score) -> tuple[Judged, tuple[Track, ...]]:
    """Score every audio track of a file that decodes, and every channel where they differ.

    Parameters
    ----------
    stream : AudioStream
        The file; one with a track or a channel chosen is scored as it is. Its `decode_s` and
        `resample_s` become those of all that was decoded; its limits hold for each track.
    score : callable
        Scores one stream.

    Returns
    -------
    Judged
        The most suspicious result, with a warning ``not_all_judged`` if a track does not decode or
        there are more than `MAX_TRACKS_JUDGED`.
    tuple of Track
        All results; empty where the file has one track of channels that do not differ.

    Raises
    ------
    AudioError
        As in `AudioStream`, if no track decodes; ``too_long`` if any is.
    """
    if stream.track is not None or stream.channel is not None:
        return score(stream), ()
    found = _Tracks(stream, score)
    results = list(found)
    if not results:
        raise found.errors[0]
    if found.n_tracks == 1 and len(results) == 1:
        return results[0], ()
    chosen = most_suspicious(results)
    if found.left_out:
        caution = Caution("not_all_judged", "; ".join(found.left_out))
        return replace(chosen, warnings=(*chosen.warnings, caution)), tuple(results)
    return chosen, tuple(results)


class _Tracks:
    """The results of a file's tracks, one after another.

    Parameters
    ----------
    stream : AudioStream
        The file.
    score : callable
        Scores one stream.

    Attributes
    ----------
    n_tracks : int
        Of the file, as far as it is known.
    errors : list of AudioError
        Of the tracks that do not decode.
    left_out : list of str
        What is not judged.
    """

    def __init__(self, stream: AudioStream, score: Score) -> None:
        self._stream, self._score = stream, score
        self._decode_s, self._resample_s = 0.0, 0.0
        self.n_tracks, self.errors, self.left_out = 1, list[AudioError](), list[str]()

    def __iter__(self) -> Iterator[Track]:
        """Score track after track."""
        number, judged = 0, 0
        while number < self.n_tracks:
            if judged == MAX_TRACKS_JUDGED:
                self._leave_out(f"tracks {number + 1} to {self.n_tracks}")
                return
            for result in self._of_track(number, MAX_TRACKS_JUDGED - judged):
                judged += 1
                yield result
            number += 1

    def _of_track(self, number: int, at_most: int) -> Iterator[Track]:
        """Score one track: together, or by channel where they differ."""
        part = replace(self._stream, track=number)
        try:
            together = self._scored(part)
        except AudioError as error:
            if error.code == "too_long" or self.n_tracks == 1:
                raise
            self.errors.append(error)
            self.left_out.append(error.message.removeprefix(f"{self._stream.name}: "))
            return
        if not part.channels_differ:
            yield _numbered(together, number, None)
            return
        for channel in range(min(part.channels, at_most)):
            yield _numbered(self._scored(replace(part, channel=channel)), number, channel)
        if part.channels > at_most:
            self._leave_out(f"channels {at_most + 1} to {part.channels} of track {number + 1}")

    def _scored(self, part: AudioStream) -> Judged:
        try:
            return self._score(part)
        finally:
            self.n_tracks = max(self.n_tracks, part.n_tracks)
            self._decode_s += part.decode_s
            self._resample_s += part.resample_s
            self._stream.decode_s, self._stream.resample_s = self._decode_s, self._resample_s

    def _leave_out(self, what: str) -> None:
        self.left_out.append(f"{what}: only {MAX_TRACKS_JUDGED} tracks or channels are judged")


def _numbered(judged: Judged, track: int, channel: int | None) -> Track:
    number = None if channel is None else channel + 1
    return Track(**judged.entries(), track=track + 1, channel_number=number)
