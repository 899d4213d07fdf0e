"""Brings extensions and the libraries that they need in, changes them, and takes them out again."""
