"""Floor F4: plan, stages, multiplexer and engine. Importing this package or `plan` never imports torch."""
