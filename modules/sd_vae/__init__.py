"""Floor F3: between latents and pictures: loading, swapping, decoding, encoding, previews."""
