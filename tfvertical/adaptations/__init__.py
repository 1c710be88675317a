"""The ways to adapt a model: each a small class that returns stages. Found by name through `registry`."""
