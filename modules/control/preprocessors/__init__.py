"""Preprocessors, with networks and without: a picture in, a map for a ControlNet out, both uint8 (H, W, 3) in RGB."""
