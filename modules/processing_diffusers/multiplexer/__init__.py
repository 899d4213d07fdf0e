"""The multiplexer: forwards that concurrent lanes ask for are merged into one and split again.

call.py       one lane's call of a heavy module and the key under which calls may be merged
merging.py    tensors of several calls into one and the outputs back
admission.py  how long a call waits for lanes that are about to make the same one
core.py       the executor thread, recovery, figures
stand_in.py   what a lane's pipeline sees in place of a shared module
"""
