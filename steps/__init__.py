"""ZenML steps: each unpacks its inputs, calls the domain and returns. They decide nothing."""
