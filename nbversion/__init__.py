"""Data and model versioning that lives inside the Jupyter notebook, on plain files."""

__version__ = "0.1.0"
