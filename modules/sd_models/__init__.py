"""Floor F3: which models there are, what they are, and how their parts come into memory.

`families`, `header`, `detect`, `catalog`, `hashes` and `hub` import neither torch nor diffusers; `loader` does.
"""
