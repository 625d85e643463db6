"""The section ``gate`` of a configuration: the rules on what may go into production."""

from typing import Annotated, Literal

from pydantic import Field

from bonafide.models.config import Section

Margin = Annotated[float, Field(ge=0.0, lt=1.0)]


class TolerancesConfig(Section):
    """What a candidate may lose in one respect, before a loss that is shown refuses it.

    ``cllr`` is in bits; the others are shares: of wrong verdicts of those decided of either label
    (``wrong``), of recordings without a verdict (``undecided``), of errors in the tenth of the
    sources that fares worst (``sources``), and the EER of a channel or language (``groups``).
    """

    cllr: float = Field(0.05, ge=0.0)
    wrong: Margin = 0.02
    undecided: Margin = 0.05
    sources: Margin = 0.05
    groups: Margin = 0.05


class GateConfig(Section):
    """What a candidate must be to be promoted; docs/train.md describes each rule.

    Parameters
    ----------
    approval : {"automatic", "manual"}
        ``manual``: one that passed waits for a person to promote it.
    golden : str or None
        A corpus of yours (manifest or folder) as the golden set; None for held-out sources of the
        corpus of the first bundle that passed.
    golden_rows : int
        At most how many recordings the latter are.
    min_groups, min_rows : int
        How many groups of known sources and speakers, and recordings of either label, a comparison
        needs.
    confidence : float
        Of what is shown: of the rule on the margin, and of all rules on tolerances together.
    margin : float
        The EER may be higher than that of what it replaces by at most this, and that must be shown.
    tolerances : TolerancesConfig
        What a loss may be in other respects; refused where more is shown.
    max_eer : float
        The highest upper end of the 95 % interval of the EER on rows it never heard.
    shortcut_margin : float
        How much lower the EER must be than that of trivial measures alone.
    max_latency_ratio, max_size_ratio : float
        How many times as long as what it replaces it may take, and as large it may be.
    max_repeated : float
        The share of a source's recordings that may be repetitions of others.
    trusted_sources : tuple of str
        Sources whose labels a person has checked, though they seem to be exchanged.
    """

    approval: Literal["automatic", "manual"] = "automatic"
    golden: str | None = None
    golden_rows: int = Field(2000, ge=100)
    min_groups: int = Field(10, ge=3)
    min_rows: int = Field(20, ge=1)
    confidence: float = Field(0.95, ge=0.5, lt=1.0)
    margin: Margin = 0.025
    tolerances: TolerancesConfig = TolerancesConfig()
    max_eer: float = Field(0.5, gt=0.0, le=1.0)
    shortcut_margin: Margin = 0.0
    max_latency_ratio: float = Field(2.0, gt=0.0)
    max_size_ratio: float = Field(2.0, gt=0.0)
    max_repeated: float = Field(0.5, gt=0.0, lt=1.0)
    trusted_sources: tuple[str, ...] = ()
