"""Floor F3: between latents and pictures: loading, decoding, encoding, previews."""
