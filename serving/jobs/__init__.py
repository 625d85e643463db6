"""Jobs: recordings that are taken at once and answered later, whatever happens meanwhile."""
