"""The errors of an audit.

A configuration error reaches a pytest user as a usage error; a breached threshold is an AssertionError
and not in this tree; everything else here means that a model, a file or a machine is at fault.
Messages read: what must be what, got what; what to do.
"""


def first_line(error: Exception) -> str:
    """Return the first line of what a library or a user's code said, cut to what a message has room for."""
    return (str(error).strip().splitlines() or [""])[0][:300]


class MemexAuditError(Exception):
    """Base of every error that memex-audit raises on purpose.

    `foreign`: the part of its text that is another's (a user's generator), and may quote a caption.
    """

    def __init__(self, text: str = "", *, foreign: str = "") -> None:
        super().__init__(text)
        self.foreign = foreign

    def redact(self) -> None:
        """Leave out what may quote a caption: the foreign text, and the error that it came with."""
        if self.foreign:
            self.args = (str(self).replace(self.foreign, "(its text is left out)"),)
            self.__cause__, self.__suppress_context__ = None, True


class ConfigurationError(MemexAuditError):
    """An option, marker or settings file has a value that cannot be used."""


class TrainingSetError(MemexAuditError):
    """A training set, or a file of prompts, cannot be read."""


class ModelError(MemexAuditError):
    """A model cannot be loaded, or gives something that is no picture."""


class UntrustedModel(ModelError):  # noqa: N818 - says what the model is
    """A model's files name code or files that are not its own, or weights lie: nothing is loaded."""


class GeneratorError(ModelError):
    """A generator answers otherwise than it must, and would again."""


class ImagesSpent(MemexAuditError):  # noqa: N818 - says what is spent
    """An endpoint may be asked for no more pictures; what is not decided stays so."""


class ScreenUnavailable(MemexAuditError):  # noqa: N818 - says what the screen is
    """A screen's quantity does not exist for this model, or cannot be read from its pipeline."""


class EmbedderError(MemexAuditError):
    """An embedder cannot be loaded."""


class StoreError(MemexAuditError):
    """The store of generations cannot be read or written."""


class UnitDamaged(StoreError):  # noqa: N818 - says what the unit is
    """A file of generations is not what was written: cut short, altered, or of other pictures."""


class StoreUnwritable(StoreError):  # noqa: N818 - says what the store is
    """Nothing can be written into the store: the disk is full, or it is read-only."""


class RunnerError(MemexAuditError):
    """Workers cannot be started or reached, or end one after another."""


class CalibrationError(MemexAuditError):
    """A calibration cannot be made, or does not belong to this model."""


class LedgerError(MemexAuditError):
    """The ledger of runs cannot be read or written, or has no such run."""


class ComparisonError(MemexAuditError):
    """Two audits cannot be compared, or a baseline cannot be read or written."""


class ReportError(MemexAuditError):
    """A result that was written down cannot be read, or does not hold what is asked of it."""


class CanaryError(MemexAuditError):
    """Canaries cannot be made, or their manifest or a picture of it is not as it was made."""
