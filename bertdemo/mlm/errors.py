"""The one error root. Its messages are sentences for the user: the cause, then the mend.

Everything else that is raised is a bug and keeps its traceback in the log.
"""


class BertDemoError(Exception):
    """Something the user can mend; ``str(error)`` is one sentence that says how."""


class DataError(BertDemoError):
    """The data file cannot be read or holds nothing to train on."""


class ModelError(BertDemoError):
    """A model cannot be found, loaded or used for masked language modelling."""


class SettingsError(BertDemoError):
    """A setting is outside what it can be."""


class TextError(BertDemoError):
    """A text cannot be used as it is, for instance because it holds no mask."""


class TrainingError(BertDemoError):
    """A training run cannot go on, for instance because its loss is no longer finite."""


class RunError(BertDemoError):
    """A run on disk is missing, damaged, busy or not yours."""
