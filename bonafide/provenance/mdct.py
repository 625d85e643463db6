"""MP3's analysis filter bank, at any place of a waveform."""

import numpy as np

from bonafide.types import Floats, Waveform

LINES = 576  # coefficients of a granule, and samples that it advances
SUBBANDS, SLOTS = 32, 18  # LINES is their product
TAPS = 512
# Half of the window of ISO/IEC 11172-3, table 3-B.3, in units of 2 ** -16.
_HALF = (
    *(0, -1, -1, -1, -1, -1, -1, -2, -2, -2, -2, -3, -3, -4, -4, -5, -5, -6, -7, -7, -8, -9),
    *(-10, -11, -13, -14, -16, -17, -19, -21, -24, -26, -29, -31, -35, -38, -41, -45, -49, -53),
    *(-58, -63, -68, -73, -79, -85, -91, -97, -104, -111, -117, -125, -132, -139, -147, -154),
    *(-161, -169, -176, -183, -190, -196, -202, -208, 213, 218, 222, 225, 227, 228, 228, 227),
    *(224, 221, 215, 208, 200, 189, 177, 163, 146, 127, 106, 83, 57, 29, -2, -36, -72, -111),
    *(-153, -197, -244, -294, -347, -401, -459, -519, -581, -645, -711, -779, -848, -919, -991),
    *(-1064, -1137, -1210, -1283, -1356, -1428, -1498, -1567, -1634, -1698, -1759, -1817, -1870),
    *(-1919, -1962, -2001, -2032, -2057, -2075, -2085, -2087, -2080, -2063, 2037, 2000, 1952),
    *(1893, 1822, 1739, 1644, 1535, 1414, 1280, 1131, 970, 794, 605, 402, 185, -45, -288, -545),
    *(-814, -1095, -1388, -1692, -2006, -2330, -2663, -3004, -3351, -3705, -4063, -4425, -4788),
    *(-5153, -5517, -5879, -6237, -6589, -6935, -7271, -7597, -7910, -8209, -8491, -8755, -8998),
    *(-9219, -9416, -9585, -9727, -9838, -9916, -9959, -9966, -9935, -9863, -9750, -9592, -9389),
    *(-9139, -8840, -8492, -8092, -7640, -7134, 6574, 5959, 5288, 4561, 3776, 2935, 2037, 1082),
    *(70, -998, -2122, -3300, -4533, -5818, -7154, -8540, -9975, -11455, -12980, -14548, -16155),
    *(-17799, -19478, -21189, -22929, -24694, -26482, -28289, -30112, -31947, -33791, -35640),
    *(-37489, -39336, -41176, -43006, -44821, -46617, -48390, -50137, -51853, -53534, -55178),
    *(-56778, -58333, -59838, -61289, -62684, -64019, -65290, -66494, -67629, -68692, -69679),
    *(-70590, -71420, -72169, -72835, -73415, -73908, -74313, -74630, -74856, -74992, 75038),
)
_ALIASING = np.array([-0.6, -0.535, -0.33, -0.185, -0.095, -0.041, -0.0142, -0.0037], np.float32)


def _polyphase() -> Waveform:
    """Return what takes samples, oldest first, to subbands: shape (512, 32)."""
    index = np.arange(1, TAPS // 2)
    window = np.zeros(TAPS)
    window[: TAPS // 2 + 1] = _HALF
    window[TAPS - index] = np.where(index % 64 == 0, window[index], -window[index])
    taps, bands = np.arange(TAPS)[:, None], np.arange(SUBBANDS)[None]
    angles = (2 * bands + 1) * (taps % 64 - 16) * np.pi / 64
    bank = window[:, None] * 2.0**-21 * np.cos(angles)
    return np.ascontiguousarray(bank[::-1], dtype=np.float32)


def _cosines() -> Waveform:
    """Return what takes two times 18 slots of a subband to 18 coefficients: shape (36, 18)."""
    slots, lines = np.arange(2 * SLOTS)[:, None], np.arange(SLOTS)[None]
    angles = np.pi / 72 * (2 * slots + 19) * (2 * lines + 1)
    return np.asarray(np.sin(np.pi / 36 * (slots + 0.5)) * np.cos(angles), dtype=np.float32)


def samples_for(n_granules: int) -> int:
    """Return how many samples `log_energies` takes for so many granules."""
    return LINES * (n_granules + 2) + TAPS


def log_energies(waveform: Waveform, n_granules: int, lines: slice) -> Floats:
    """Return how much the coefficients hold on average, for each place where frames may begin.

    Where frames of an MP3 began, many coefficients are zero, for they were coded as zero.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        At least `samples_for` samples.
    n_granules : int
        Granules that follow each other, at least 1.
    lines : slice
        Which of the 576 coefficients count.

    Returns
    -------
    ndarray of float64, shape (576,)
        Mean of the logarithm of the squared coefficients, by the number of samples by which the
        first granule begins later than the waveform.
    """
    bank, cosines = _polyphase(), _cosines()
    means = np.empty(LINES)
    for shift in range(SUBBANDS):
        windows = np.lib.stride_tricks.sliding_window_view(waveform, TAPS)[shift::SUBBANDS]
        subbands = np.ascontiguousarray((windows @ bank).T)  # (32, n_slots)
        for slot in range(SLOTS):
            slots = subbands[:, slot : slot + SLOTS * (n_granules + 1)]
            held = slots.reshape(SUBBANDS, n_granules + 1, SLOTS).copy()
            held[1::2, :, 1::2] *= -1
            found = np.matmul(held[:, :-1], cosines[:SLOTS], dtype=np.float32)
            found += held[:, 1:] @ cosines[SLOTS:]
            _reduce_aliasing(found)  # (32, n_granules, 18)
            chosen = found.transpose(0, 2, 1).reshape(LINES, n_granules)[lines]
            means[shift + SUBBANDS * slot] = np.mean(np.log(np.square(chosen) + 1e-14))
    return means


def _reduce_aliasing(coefficients: Waveform) -> None:
    """Take out, in place, what neighbouring subbands hold of each other: shape (32, n, 18)."""
    ours = np.asarray(1 / np.sqrt(1 + _ALIASING**2), dtype=np.float32)
    others = _ALIASING * ours
    upper = coefficients[:-1, :, : -len(_ALIASING) - 1 : -1].copy()
    lower = coefficients[1:, :, : len(_ALIASING)].copy()
    coefficients[:-1, :, : -len(_ALIASING) - 1 : -1] = upper * ours + lower * others
    coefficients[1:, :, : len(_ALIASING)] = lower * ours - upper * others
