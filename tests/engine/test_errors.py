import pytest

from engine import errors
from engine.errors import (
    BadRequest,
    BugError,
    Cancelled,
    OutOfMemory,
    StudioError,
    from_report,
    report,
)


def _kinds(kind: type[StudioError]) -> list[type[StudioError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _kinds(child))]


@pytest.mark.parametrize("kind", _kinds(StudioError), ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_between_processes(kind: type[StudioError]) -> None:
    error = kind("The size is 7.", "Use 16.")
    rebuilt = from_report(report(error))
    assert type(rebuilt) is kind or kind is StudioError
    assert str(rebuilt) == "The size is 7. Use 16."
    assert rebuilt.exit_code == error.exit_code


def test_codes_are_unique_and_exit_codes_are_those_of_the_command_line() -> None:
    kinds = _kinds(StudioError)
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert (BadRequest.exit_code, BugError.exit_code, Cancelled.exit_code) == (2, 1, 130)


def test_the_tree_in_the_docstring_is_the_tree_of_the_code() -> None:
    documented = errors.__doc__ or ""
    for kind in _kinds(StudioError):
        assert kind.__name__ in documented


def test_a_shortage_that_python_itself_meets_is_no_bug() -> None:
    found = report(MemoryError())
    assert (found.code, found.exit_code) == ("out_of_memory", OutOfMemory.exit_code)
    assert found.action


def test_a_foreign_exception_is_reported_as_our_bug() -> None:
    found = report(KeyError("x"))
    assert found.code == "bug"
    assert "KeyError" in found.message
