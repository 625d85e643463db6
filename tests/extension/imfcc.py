"""A view kind as another package would bring it: all that it takes is this file.

Cepstra of filters that are narrow where mel filters are wide, at high frequencies, where vocoders
leave most traces: Sahidullah, Kinnunen & Hanilçi, "A comparison of features for synthetic speech
detection", 2015.
"""

from bonafide.features.kinds import Bands, Table, ViewKind, cosine_table


def inverted_mel_filters(bands: Bands) -> Table:
    from librosa.filters import mel

    top_hz = bands.sample_rate_hz / 2
    mirrored = mel(
        sr=bands.sample_rate_hz,
        n_fft=bands.n_fft,
        n_mels=bands.n_filters,
        fmin=top_hz - bands.high_hz,
        fmax=top_hz - bands.low_hz,
    )
    return mirrored[::-1, ::-1]


IMFCC = ViewKind("imfcc", inverted_mel_filters, cosine_table)
