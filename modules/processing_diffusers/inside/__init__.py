"""Changes inside the denoiser for the length of one call: of single samples, or of the call as a whole."""
