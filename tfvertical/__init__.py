"""Adapt a pretrained KerasHub or KerasCV backbone to a domain's labelled data, and ship the result."""

__version__ = "0.1.0"
