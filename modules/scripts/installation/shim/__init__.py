"""A folder for PYTHONPATH: what `install.py` of an extension finds in place of pip."""
