"""What the bundles of tests hold that know no channels."""

from bonafide.bundle import META_MODELS

BASE_MODELS = ("cnn", "rnn", "bilstm", "gru", "xgboost")
GRAPHS = ("detector", "frontend", "scaler", *BASE_MODELS, *(f"meta_{name}" for name in META_MODELS))
