"""How the tables of the queue came to be what they are, one script a version, oldest first."""
