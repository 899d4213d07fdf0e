"""Scripts that bring the tables of accounts from one version to the next."""
