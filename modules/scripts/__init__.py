"""Other people's code: their scripts and extensions, what they may do, and what happens when they fail."""
