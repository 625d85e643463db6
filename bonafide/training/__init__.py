"""Training: from labelled recordings to fitted, stacked and calibrated models (extra ``train``)."""
