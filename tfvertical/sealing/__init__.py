"""The parts of a bundle: architecture, weights, manifest."""
