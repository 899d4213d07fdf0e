"""What happens before the environment exists: flags, the virtual environment and its lock, supervision of the server.

Standard library only: `launch.py` runs this under the Python that the user happens to have.
"""
