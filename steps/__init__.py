"""The steps: each unpacks, calls the domain and returns. They decide nothing."""
