"""Measures how well models of the pocket family obey: a judge of pictures, the properties asked of a model, figures."""
