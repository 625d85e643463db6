"""How artifacts are stored: native formats, a hash each, pages to look at. Never pickle."""

from materializers.artifact import ArtifactMaterializer

__all__ = ["ArtifactMaterializer"]
