"""How many questions were asked, and how many may be."""

from likethat._checks import check_count
from likethat.errors import BudgetError

__all__ = ["Account"]


class Account:
    """Counts queries against a budget; what is charged here is charged to the account above it too.

    Attributes:
        budget: queries allowed in all; None when there is no limit.
        queries: queries charged so far.
    """

    def __init__(self, budget: int | None, *, above: "Account | None" = None) -> None:
        self.budget = None if budget is None else check_count(budget, name="budget", minimum=0)
        self.queries = 0
        self._above = above

    @property
    def remaining(self) -> int | None:
        """Queries left, here and above; None when nothing limits them."""
        left = None if self.budget is None else max(self.budget - self.queries, 0)
        above = None if self._above is None else self._above.remaining
        return min((item for item in (left, above) if item is not None), default=None)

    def allows(self, n: int) -> bool:
        """Whether `n` more queries fit."""
        return self.remaining is None or n <= self.remaining

    def require(self, n: int, *, name: str) -> None:
        """Raise `BudgetError` unless `n` more queries fit."""
        if not self.allows(n):
            raise BudgetError(
                f"`inputs` must hold at most {self.remaining} new rows, which is what is left of the budget of {name}, "
                f"got {n}. Nothing was asked: raise `budget`, or ask for fewer (box.affordable(inputs) says how many)."
            )

    def charge(self, n: int) -> None:
        """Count `n` queries."""
        self.queries += n
        if self._above is not None:
            self._above.charge(n)
