"""The exceptions of likethat.

Every error that the library raises on purpose is a `LikethatError`, and also the built-in a caller would expect::

    LikethatError
    ├── InputError (ValueError)            an argument of the wrong shape, range, kind or content
    │   ├── ArgumentError (also TypeError)  an argument that does not exist, or is missing
    │   ├── ItemError (also IndexError)     an item of a source that does not exist
    │   ├── NonFiniteError                 NaN or infinity in weights, images or features
    │   ├── UnreadableImageError           one file or item that does not decode (fits skip and list it)
    │   └── TargetError (also LookupError) a class index out of range, an unknown class name
    ├── ModelError (ValueError)            a network that cannot be explained as asked
    │   ├── NotAClassifierError            no (batch, class) logits come out of it
    │   ├── NotLinearError                 its head is not linear in the pooled features
    │   └── BlackBoxError                  a predictor that raised, cannot be reached, or answered nonsense
    ├── BudgetError (RuntimeError)         more questions than the budget allows; none was asked
    ├── BankError (ValueError)             a bank that cannot be used
    │   ├── BankMismatchError              it belongs to another model
    │   └── BankFormatError                cut short, damaged, or of a newer schema
    ├── UnsafeFileError (ValueError)       a pickle where plain tensors were expected
    ├── StorageError (OSError)             the disk did not take what was written
    └── MissingExtraError (ImportError)    an optional library is not installed

A `DataWarning` (UserWarning) is no error: a fit goes on, and its bank says the same sentence.
"""


class DataWarning(UserWarning):
    """Labels and a model's answers fit so badly that the images are probably prepared or named in another way."""


class LikethatError(Exception):
    """The root: ``except likethat.errors.LikethatError`` catches all that we raise on purpose."""


class InputError(LikethatError, ValueError):
    """An argument has the wrong shape, range, kind or content."""


class ArgumentError(InputError, TypeError):
    """A call names an argument that does not exist, or leaves one out."""


class ItemError(InputError, IndexError):
    """A source has no item of that number."""


class NonFiniteError(InputError):
    """NaN or infinity where numbers were expected."""


class UnreadableImageError(InputError):
    """One image does not decode. A fit skips it and lists it; a direct call raises."""


class TargetError(InputError, LookupError):
    """The target is no class of the model."""


class ModelError(LikethatError, ValueError):
    """The network cannot be explained as asked."""


class NotAClassifierError(ModelError):
    """The network does not return (batch, class) logits."""


class NotLinearError(ModelError):
    """The network's head is not linear in its pooled features, and the method needs that."""


class BlackBoxError(ModelError):
    """The predictor raised, cannot be reached, or its answer is no row of probabilities an input."""


class BudgetError(LikethatError, RuntimeError):
    """More questions than the budget allows. None was asked."""


class BankError(LikethatError, ValueError):
    """A bank cannot be used."""


class BankMismatchError(BankError):
    """The bank was made from another model."""


class BankFormatError(BankError):
    """The bank's files are cut short, damaged, or of a newer schema."""


class UnsafeFileError(LikethatError, ValueError):
    """A file would have to be unpickled; likethat never does that."""


class StorageError(LikethatError, OSError):
    """The disk did not take what was written."""


class MissingExtraError(LikethatError, ImportError):
    """An optional library is missing; the message says what to install."""
