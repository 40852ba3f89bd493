"""Why searches and trainings ended, by its public name; `_status` holds it, where generators reach it too."""

from likethat._status import ADVICE, Reason, Sought, Status, ended

__all__ = ["ADVICE", "Reason", "Sought", "Status", "ended"]
