"""How the gallery's table came to be what it is, one script a version, oldest first."""
