"""Floor F5: finished pictures on disk and in the gallery: encoding, metadata, file names, the store."""
