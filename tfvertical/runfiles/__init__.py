"""YAML run files: read with their lines, checked against the signatures they end in."""
