"""What finds regions in finished pictures: which detectors there are, their loading, their finds."""
