"""Every error a user can meet, as one tree.

StudioError
├── UserError             the input is at fault; exit code 2
│   ├── BadRequest        a value of the request
│   ├── FileRejected      a file that is not what it should be
│   ├── NotFound          a model, file or folder that is not there
│   ├── HostRefused       an address that nothing may be fetched from
│   └── QueueFull         too many jobs are waiting
├── ResourceError         the machine is at fault; exit code 2
│   ├── OutOfMemory       device or host memory
│   ├── DiskError         a file could not be written
│   ├── NetworkError      a server that does not answer, or not as it should
│   │   └── DownloadCorrupt   bytes that are not those of the file asked for
│   └── WorkerLost        the process that paints died
├── NumericalError        the model produced numbers that are no picture; exit code 2
├── Cancelled             the user stopped the job; exit code 130
└── BugError              ours to mend; exit code 1

Each error says what was wrong, with the bad value, and what to do next. Errors travel between
processes as `ErrorReport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class StudioError(Exception):
    """Base of the tree: a sentence with the bad value (`message`) and the next step (`action`)."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, action: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.action = action

    def __str__(self) -> str:
        """Return the message, followed by the next step."""
        return f"{self.message} {self.action}".strip()


class UserError(StudioError):
    """The input is at fault."""

    code = "user"
    exit_code = 2


class BadRequest(UserError):
    """A value of the request is missing, out of range or of the wrong kind."""

    code = "bad_request"


class FileRejected(UserError):
    """A file is damaged, unsafe, or not what it was given as."""

    code = "file_rejected"


class NotFound(UserError):
    """A model, file or folder does not exist."""

    code = "not_found"


class HostRefused(UserError):
    """An address is not one that this program fetches from."""

    code = "host_refused"


class QueueFull(UserError):
    """Too many jobs are waiting."""

    code = "queue_full"


class ResourceError(StudioError):
    """The machine ran out of something, or lost it."""

    code = "resource"
    exit_code = 2


class OutOfMemory(ResourceError):
    """Device or host memory does not suffice."""

    code = "out_of_memory"


class DiskError(ResourceError):
    """A file could not be written."""

    code = "disk"


class NetworkError(ResourceError):
    """A server does not answer, or not as it should."""

    code = "network"


class DownloadCorrupt(NetworkError):
    """The bytes that came are not those of the file that was asked for."""

    code = "download_corrupt"


class WorkerLost(ResourceError):
    """The process that paints died; it is started again for the next job."""

    code = "worker_lost"


class NumericalError(StudioError):
    """The model produced numbers that are no picture (NaN or infinity)."""

    code = "numerical"
    exit_code = 2


class Cancelled(StudioError):
    """The user stopped the job."""

    code = "cancelled"
    exit_code = 130


class BugError(StudioError):
    """Something we did not foresee; the log holds the traceback."""

    code = "bug"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """An error as plain values, fit to cross between processes."""

    code: str
    message: str
    action: str
    exit_code: int

    def __str__(self) -> str:
        """Return the message, followed by the next step."""
        return f"{self.message} {self.action}".strip()


def report(error: BaseException) -> ErrorReport:
    """Describe any exception; what is not of the tree is reported as our own bug.

    But for want of memory, which even the import of a library may find.
    """
    if isinstance(error, MemoryError):
        error = OutOfMemory(
            "The computer's memory ran out.", "Close other programs, and try again."
        )
    if not isinstance(error, StudioError):
        sentence = f"Unexpected {type(error).__name__}: {error}."
        error = BugError(sentence, "Please report it with the log file.")
    return ErrorReport(
        code=error.code, message=error.message, action=error.action, exit_code=error.exit_code
    )


def from_report(found: ErrorReport) -> StudioError:
    """Rebuild the error that a report describes."""
    kinds = {kind.code: kind for kind in _family(StudioError)}
    return kinds.get(found.code, BugError)(found.message, found.action)


def _family(kind: type[StudioError]) -> list[type[StudioError]]:
    return [kind, *(member for child in kind.__subclasses__() for member in _family(child))]
