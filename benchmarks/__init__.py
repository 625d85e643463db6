"""What the project's speed numbers come from: ratios measured in one run."""
