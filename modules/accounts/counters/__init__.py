"""Places that count: the memory of this process, or a Redis or Valkey server that several processes share."""
