"""Lineage: what a bundle was made from, by what code and in which run, as it stands in the bundle.

``lineage.json`` holds the run, its steps and the hashes of what they made, configuration, seeds,
code and installed packages; ``rows.parquet`` every row of the corpus. Nothing else is needed to
look back from a bundle, or forward from a recording: no record of an orchestrator, and no sound is
decoded.
"""
