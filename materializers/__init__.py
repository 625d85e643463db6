"""Materializers: artifacts in native formats, each with a hash and pages to look at; no pickle."""

from materializers.artifact import ArtifactMaterializer

__all__ = ["ArtifactMaterializer"]
