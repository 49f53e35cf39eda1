"""Schema of the embedded store: one numbered file per version, each applied in one transaction."""
