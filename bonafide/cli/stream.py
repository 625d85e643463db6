"""`bonafide stream`."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.errors import AudioError, printable

if TYPE_CHECKING:
    from bonafide.detection import Detection
    from bonafide.live import Moment
    from bonafide.types import Waveform

DEVICE = "device:"
HEADING = f"{'seconds':>9}  {'verdict':<13} {'p_spoof':>8} {'now':>8}  channel"
HELP = """Judge sound while it comes.

Every half second it says what all that was heard adds up to, and at the end what the whole does.

SOURCE is - for standard input, device:NAME for a microphone, or a file, which is read as fast as it
plays. Ctrl-C ends it as the end of the sound does.
"""
COLOURS = {"spoof": "red", "partly_spoof": "red", "bonafide": "green"}


@click.command(help=HELP)
@click.argument("source", default=f"{DEVICE}default", metavar="[SOURCE]")
@options.bundle
@click.option("--raw", is_flag=True, help="the source has no header: mono samples and nothing else")
@click.option(
    "--rate",
    type=options.Whole(4_000, 192_000),
    default=16_000,
    metavar="HZ",
    help="of --raw samples",
)
@click.option(
    "--encoding",
    type=click.Choice(["pcm_s16le", "mulaw", "alaw"]),
    default="pcm_s16le",
    help="of --raw samples",
)
@click.option("--at-once", is_flag=True, help="read a file as fast as it can be scored")
@options.as_json
def stream(
    source: str,
    bundle: str | None,
    raw: bool,
    rate: int,
    encoding: str,
    at_once: bool,
    as_json: bool,
) -> int:
    """Judge sound while it comes."""
    from bonafide.detector import Detector
    from bonafide.home import home
    from bonafide.live import listen
    from bonafide.process.interrupt import interruptible
    from bonafide.registry import find_bundle

    detector = Detector(find_bundle(home(), bundle))
    tell, listening = _tell_json if as_json else _tell, _Listening()
    samples = (rate, encoding) if raw else None
    try:
        sound = _sound(source, samples, listening, at_once=at_once)
        with interruptible(listening.stop):
            for heard in listen(detector, listening.until_stopped(sound)):
                tell(heard, source)
    except AudioError as error:
        if error.code == "no_device":
            raise
        if as_json:
            click.echo(json.dumps({"error": {"code": error.code, "message": error.message}}))
        else:
            click.echo(f"bonafide: {error.code}: {printable(error.message)}", err=True)
        return options.SOME_FAILED
    return 0


def _sound(
    source: str, raw: tuple[int, str] | None, listening: "_Listening", *, at_once: bool
) -> "Iterator[Waveform]":
    from bonafide.audio import AudioStream
    from bonafide.audio.arriving import Pipe, as_played, from_device, from_pipe, from_raw
    from bonafide.audio.pcm import PcmStream
    from bonafide.piped import is_piped

    if source.startswith(DEVICE):
        if raw:
            raise click.UsageError("--raw: a microphone says what its samples are")
        return from_device(source.removeprefix(DEVICE))
    if not is_piped(source) and raw is None:
        return iter(AudioStream(Path(source))) if at_once else as_played(Path(source))
    file = Pipe(_opened(source), lambda: listening.asked)
    return from_raw(file, PcmStream(*raw)) if raw else from_pipe(file)


def _opened(source: str) -> io.FileIO:
    if source == "-" and sys.stdin is None:
        raise AudioError("unreadable", "standard input: is closed")
    try:
        return io.FileIO(sys.stdin.fileno(), closefd=False) if source == "-" else io.FileIO(source)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AudioError("unreadable", f"{source}: cannot be read: {reason}") from error


class _Listening:
    """Sound until it ends, or Ctrl-C ends it: what was heard is judged then.

    A second Ctrl-C stops at once.
    """

    def __init__(self) -> None:
        self.asked = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def until_stopped(self, sound: "Iterator[Waveform]") -> "Iterator[Waveform]":
        """Yield what comes."""
        for block in sound:
            yield block
            if self.asked:
                return


def _tell_json(heard: "Moment | Detection", _: str) -> None:
    from bonafide.detection import Detection, rounded

    end = {"end": True} if isinstance(heard, Detection) else {}
    click.echo(json.dumps({**end, **rounded(asdict(heard))}))


def _tell(heard: "Moment | Detection", source: str) -> None:
    from bonafide.detection import Detection
    from bonafide.live import HOP_S
    from bonafide.scoring import WRITERS

    if isinstance(heard, Detection):
        click.echo("\nIn all:")
        WRITERS["table"](sys.stdout)({"path": source, **heard.to_json()})
        return
    now = f"{heard.window.p_spoof:.3f}" if heard.window else "-"
    if heard.at_s == HOP_S:
        click.echo(HEADING)
    channel = heard.channel.name if heard.channel else "-"
    warned = " ".join(caution.code for caution in heard.warnings)
    verdict = click.style(f"{heard.verdict:<13}", fg=COLOURS.get(heard.verdict))
    line = f"{heard.at_s:>9.1f}  {verdict} {heard.p_spoof:>8.3f} {now:>8}  {channel:<9}  {warned}"
    click.echo(line.rstrip())
    if (made := heard.decision) and made.at_s == heard.at_s:
        bound = f"of either kind at most {100 * made.wrong_at_most:g} of 100 are decided wrongly"
        click.echo(f"{made.at_s:>9.1f}  decided: {made.verdict}; {bound}")
