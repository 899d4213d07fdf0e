"""How the tables of experiments came to be what they are, one script a version, oldest first."""
