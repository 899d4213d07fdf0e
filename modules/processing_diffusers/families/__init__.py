"""What the engine has to know of a model family beyond its row of data: argument names and tensor layouts."""
