"""Small convolutional networks that draw lines, built with the names that their published weights have."""
