"""The errors that a user can meet. Each carries one line: what was found, what was expected, what
to do."""


class InseganError(Exception):
    """Base of all errors that are the input's fault, not the program's."""


class InputError(InseganError):
    """An image, camera_info or recording that cannot be used."""


class DatasetError(InseganError):
    """A data folder or shard that is missing, empty, cut short or of another kind."""


class WriteError(DatasetError):
    """What cannot be written: a disk that is full, a folder that is not ours."""


class CameraError(InseganError):
    """A camera that is not there, has no such streams, or stopped."""


class CheckpointError(InseganError):
    """A checkpoint that is missing, cut short or not one of ours."""


class ConfigError(InseganError):
    """A value in a configuration or on the command line that is unknown or out of range."""


class TrainingError(InseganError):
    """A training that cannot go on: a loss that is no number any more."""


# What code trips over where values that a file holds are not what they should be.
MALFORMED = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
)


class InseganWarning(UserWarning):
    """What a user should know of an answer that is given all the same."""


def unknown(kind: str, name: str, known: list[str]) -> ConfigError:
    """The one sentence for a name that no registry knows."""
    return ConfigError(f'unknown {kind} "{name}": expected one of {", ".join(sorted(known))}')
