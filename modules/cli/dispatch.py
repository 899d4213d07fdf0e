"""From a command line to the module that carries it out; the one border where errors become a sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from modules.bootstrap import flags
from modules.contracts.errors import StudioError

FAILURE = 1
INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code: 0, 1 with one sentence on standard error, or 130 after Ctrl-C."""
    command = flags.parse(argv)
    if command.options.run.offline:
        from modules.support.offline import forbid_network

        forbid_network()
    try:
        return COMMANDS[command.name](command)
    except StudioError as error:
        sys.stderr.write(f"{error.message}\n")
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED


def _serve(command: flags.Command) -> int:
    from modules.cli import serve

    return serve.run(command)


def _generate(command: flags.Command) -> int:
    from modules.cli import generate

    return generate.run(command)


def _upscale(command: flags.Command) -> int:
    from modules.cli import upscale

    return upscale.run(command)


def _grid(command: flags.Command) -> int:
    from modules.cli import grid

    return grid.run(command)


def _doctor(command: flags.Command) -> int:
    from modules.cli import doctor

    return doctor.run(command)


def _test(command: flags.Command) -> int:
    from modules.cli import checks

    return checks.run(command)


def _models(command: flags.Command) -> int:
    from modules.sd_models import command as models

    return models.run(command.rest, command.options)


def _networks(command: flags.Command) -> int:
    from modules.networks import command as networks

    return networks.run(command.rest, command.options)


def _ext(command: flags.Command) -> int:
    from modules.cli import extensions

    return extensions.run(command.rest, command.options)


def _users(command: flags.Command) -> int:
    from modules.cli import users

    return users.run(command.rest, command.options)


def _verify(command: flags.Command) -> int:
    from modules.cli import verify

    return verify.run(command.rest, command.options)


def _bench(command: flags.Command) -> int:
    from modules.bench import command as bench

    return bench.run(command.rest, command.options)


def _pocket(command: flags.Command) -> int:
    from modules.pocket import command as pocket

    return pocket.run(command.rest)


COMMANDS: dict[str, Callable[[flags.Command], int]] = {
    "serve": _serve,
    "generate": _generate,
    "upscale": _upscale,
    "grid": _grid,
    "doctor": _doctor,
    "test": _test,
    "models": _models,
    "networks": _networks,
    "ext": _ext,
    "users": _users,
    "verify": _verify,
    "bench": _bench,
    "pocket": _pocket,
}
"""The same names as `flags.COMMANDS`; each imports its module when it is called and not before."""
