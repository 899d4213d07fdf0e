"""The page: a Gradio front over the queue, the catalogue and the gallery. Nothing here knows an engine."""
