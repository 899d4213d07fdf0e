"""Floor F0: settings, paths, logging, registry, event bus, atomic files. Standard library and `rich` only."""
