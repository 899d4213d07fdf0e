"""Floor F0: frozen data, errors and protocols that every other floor may know.

Nothing here imports torch, PIL or a web framework at run time.
"""
