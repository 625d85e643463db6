"""Families of generators: which way of making speech a system's name stands for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bonafide.corpora.schema import UNKNOWN, Row


@dataclass(frozen=True)
class Family:
    """A way of making speech.

    Parameters
    ----------
    label : str
        In words.
    names : str
        A regular expression that finds its systems by their names, in lower case.
    """

    label: str
    names: str


# A name is of the first family that finds it: "Tacotron2+WaveGlow" is told by its vocoder.
FAMILIES: Mapping[str, Family] = {
    "parametric": Family(
        "formant, diphone, unit-selection or parametric synthesis",
        r"espeak|festival|flite|gnuspeech|^sam$|pyttsx3|^hts$|merlin|dnn-spss|jtalk|straight"
        r"|^world$|_vocoder$|sinusoidal",
    ),
    "service": Family(
        "a voice service on the internet",
        r"^elevenlabs|^gtts$|^edge-tts|^gemini-tts|^openai|^azure|^polly",
    ),
    "language_model": Family(
        "a language model over audio tokens",
        r"vall-?[et]|soundstorm|uslm|seed-tts|fireredtts|spark-tts|cosyvoice|voicecraft|voicestar"
        r"|xtts|tortoise|parler|paraspeech|capspeech-ar|fish-speech|audiolm|clam-tts|chattts"
        r"|mooncast|step-audio|qwen|mimo-audio|uniaudio|slam-omni|^gslm|^salle|whisperspeech"
        r"|koel-tts|metis-tts|tadicodec|voxinstruct|llasa|index-?tts|orpheus|bark",
    ),
    "diffusion": Family(
        "diffusion or flow matching",
        r"grad-|^diff|prodiff|fastdiff|wavegrad|dd[pi]m|bddm|specgrad|naturalspeech ?[23]|voicebox"
        r"|p-flow|matcha|reflow|^e3|ditto-tts|ardit|simplespeech|^guided-tts|unitspeech|styletts2"
        r"|capspeech-nar|voiceldm|flashspeech|zet-speech|dddm-vc|seed-vc|simple-tts|voicemixer"
        r"|facodec-vc|f5-?tts|maskgct",
    ),
    "conversion": Family(
        "voice conversion",
        r"vc\b|vc[:+(\d]|autopst|speechsplit|^nansy$|^blow$|urhythmic|^dissc$|cotatron|^mellotron"
        r"|s3prl|^vtn|spkanon|^fac-|rvc|stargan|cyclegan",
    ),
    "sample_vocoder": Family(
        "an autoregressive or flow vocoder, or Griffin-Lim",
        r"wavenet|wavernn|clarinet|lpcnet|qpnet|griffin[-_]lim|waveglow|waveflow|flowavenet"
        r"|squeezewave|wavevae",
    ),
    "gan_vocoder": Family(
        "a GAN vocoder", r"hifi-?gan|melgan|parallelwavegan|univnet|bigvgan|hiftnet|snakegan|pwg"
    ),
    "end_to_end": Family(
        "end-to-end text-to-speech, such as VITS",
        r"vits|yourtts|jets|hierspeech|^naturalspeech$|fastspeech ?2s|piper|coqui|hiervst"
        r"|^styletts$",
    ),
    "spectrogram": Family(
        "text-to-speech by way of a mel spectrogram, such as Tacotron or FastSpeech",
        r"tacotron|fastspeech|transformer-?tts|fastpitch|stylespeech|glow-?tts|deep ?voice|paranet"
        r"|adaspeech|portaspeech|mega-?tts|speech-?t5|dc-?tts|multispeech|neural-hmm|overflow",
    ),
}


def family_of(row: Row) -> str | None:
    """Return the family of the system that made a spoof.

    Parameters
    ----------
    row : Row
        Of a corpus.

    Returns
    -------
    str or None
        A key of `FAMILIES`; None for genuine speech, and for systems whose names say nothing.

    Examples
    --------
    >>> made = ("Tacotron2+HiFi-GAN", "VALL-E X", "Demo-TTS", "-")
    >>> [family_of(Row("a.wav", "spoof", system=name)) for name in made]
    ['gan_vocoder', 'language_model', None, None]
    """
    if row.label != "spoof" or row.system == UNKNOWN:
        return None
    name = row.system.lower()
    return next((key for key, each in FAMILIES.items() if re.search(each.names, name)), None)
