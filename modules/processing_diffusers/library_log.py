"""What diffusers and transformers log goes where all else goes: to the studio's log, and to the log of the job."""

from __future__ import annotations


def join_logs() -> None:
    """Both libraries keep their records to a handler of their own at first; from now on the root logger gets them."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.disable_default_handler()
        library.enable_propagation()
