"""The world that the pocket family draws: what there is in it, scenes by lot, their pictures and their captions."""
