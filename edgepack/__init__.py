"""edgepack: from a trained Keras model to a small, measured, checked package for an edge device."""

__version__ = "0.1.0"

__all__ = ["__version__"]
