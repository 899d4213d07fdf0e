"""The one tree of errors.

    StudioError
    ├── InvalidRequest        a value is wrong or contradicts another (HTTP 422)
    │   └── UnsupportedFeature  the value is right, but this model or build cannot do it (HTTP 422)
    ├── UnknownModel          no model, VAE or other file of that name (HTTP 404)
    ├── UnknownName           no user, token, job or picture of that name, or not the caller's (HTTP 404)
    ├── BrokenModel           it is there, but cannot be used, with the reason (HTTP 422)
    ├── OutOfMemory           needed, free, advice (HTTP 507)
    ├── DeviceUnavailable     the named hardware is not here (HTTP 503)
    ├── NotReady              the studio is still starting (HTTP 503)
    ├── JobCancelled          somebody asked the job to stop (HTTP 409)
    ├── NotSignedIn           nobody knows who asks (HTTP 401)
    ├── NotAllowed            it belongs to somebody else, or needs another role (HTTP 403)
    ├── OverLimit             credits, rate or queue depth are used up, with the seconds to wait (HTTP 429)
    ├── TimedOut              the job's deadline passed, or it ran for longer than it was to (HTTP 504)
    ├── ScriptFailed          a script threw (HTTP 500)
    └── ExtensionFailed       an extension threw (HTTP 500)

Every message is one sentence that says what was given and what is allowed. `kind` is stable and is what is stored
with a failed job; `restore` builds the error again from it.
"""

from __future__ import annotations

import re


class StudioError(Exception):
    """Something the studio can explain. `status` is the HTTP status the fronts answer with."""

    kind = "studio_error"
    status = 500

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return str(self.args[0]) if self.args else self.kind


class InvalidRequest(StudioError):
    """A value of the request is outside what is allowed."""

    kind = "invalid_request"
    status = 422


class UnsupportedFeature(InvalidRequest):
    """A lawful wish that the loaded model or this build cannot fulfil."""

    kind = "unsupported_feature"


class UnknownModel(StudioError):
    """A name that the catalogue does not have."""

    kind = "unknown_model"
    status = 404


class UnknownName(StudioError):
    """Nothing of that name or id is there, or nothing that is the caller's to know of."""

    kind = "unknown_name"
    status = 404


class BrokenModel(StudioError):
    """A file that is there but is truncated, mixed up, pickled or of no known family."""

    kind = "broken_model"
    status = 422


class OutOfMemory(StudioError):
    """The device ran out of memory and no cheaper plan was left.

    `needed` and `free` are bytes, or None where the device does not tell.
    """

    kind = "out_of_memory"
    status = 507

    def __init__(
        self, message: str, *, needed: int | None = None, free: int | None = None, advice: str | None = None
    ) -> None:
        super().__init__(f"{message} {advice}" if advice else message)
        self.needed = needed
        self.free = free
        self.advice = advice


class DeviceUnavailable(StudioError):
    """The named hardware is absent or does not work."""

    kind = "device_unavailable"
    status = 503


class NotReady(StudioError):
    """The studio is up but cannot do this yet."""

    kind = "not_ready"
    status = 503


class JobCancelled(StudioError):
    """Raised inside a running job once its cancellation has been asked for."""

    kind = "job_cancelled"
    status = 409


class NotSignedIn(StudioError):
    """A name and password, a token or a session is needed and none that is known was given."""

    kind = "not_signed_in"
    status = 401


class NotAllowed(StudioError):
    """What was asked for belongs to somebody else or needs another role."""

    kind = "not_allowed"
    status = 403


class OverLimit(StudioError):
    """Something is used up for now. `retry_after` is when it may be tried again, in seconds from now."""

    kind = "over_limit"
    status = 429

    def __init__(self, message: str, *, retry_after: float = 60.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TimedOut(StudioError):
    """A job's deadline passed, or it ran for longer than it was to."""

    kind = "timed_out"
    status = 504


class ScriptFailed(StudioError):
    """A built-in or user script threw."""

    kind = "script_failed"


class ExtensionFailed(StudioError):
    """An extension threw."""

    kind = "extension_failed"


def restore(kind: str, message: str) -> StudioError:
    """Build the error of that kind again, e.g. from a stored job. An unknown kind gives a plain `StudioError`."""
    pending = [StudioError]
    while pending:
        candidate = pending.pop()
        if candidate.kind == kind:
            return candidate(message)
        pending.extend(candidate.__subclasses__())
    return StudioError(message)


def reason_of(error: BaseException) -> str:
    """Why something failed, fit for clients: no path of this machine, only the names at their ends.

    Of an `OSError` it is what the system says, without the file that it names.
    """
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    text = _QUOTED.sub(lambda found: found[1] + _last(found[2]) + found[1], str(error))
    return _BARE.sub(lambda found: _last(found[0]), text).rstrip(".")


_QUOTED = re.compile(r"""(['"`])((?:[A-Za-z]:)?[\\/][^'"`\n]*)\1""")
"""An absolute path in quotes, which may hold spaces."""
_BARE = re.compile(r"""(?<![\w./\\~])(?!(?<=:)//)(?:~|[A-Za-z]:)?(?:[\\/]+[^\\/\s'"`:;,()<>]+){2,}[\\/]?""")
"""An absolute path of two parts or more outside quotes; addresses with a scheme are none."""


def _last(path: str) -> str:
    """The name at the end of a path."""
    return re.split(r"[\\/]+", path.rstrip("\\/"))[-1]
