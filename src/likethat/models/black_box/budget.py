"""How many questions were asked, and how many may be."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from likethat._checks import check_count
from likethat.errors import BudgetError


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

    @property
    def is_new(self) -> bool:
        """Whether it counts as a new black box would, and nothing was asked yet."""
        return False

    @property
    def recalled(self) -> int:
        """How many of the queries the predictor need not answer."""
        return 0

    def allows(self, n: int) -> bool:
        """Whether `n` more queries fit."""
        return self.remaining is None or n <= self.remaining

    def allows_check(self, n: int = 0) -> bool:
        """Whether a row may be asked a second time, after `n` more queries."""
        return self.allows(n + 1)

    def affordable(self, keys: Sequence[bytes], known: Collection[bytes]) -> int:
        """Count the leading rows that fit.

        Args:
            keys: digests of the rows.
            known: those whose answers are.
        """
        return _leading(keys, known, self.remaining)

    def enter(self, keys: Sequence[bytes], known: Collection[bytes], *, name: str) -> None:
        """Let rows in that are about to be asked.

        Raises:
            BudgetError: they do not all fit.
        """
        if self.affordable(keys, known) < len(keys):
            raise BudgetError(
                f"`inputs` must hold at most {self.remaining} new rows, which is what is left of the budget of {name}, "
                f"got {len(self._new(keys, known))}. Nothing was asked: raise `budget`, or ask for fewer "
                "(box.affordable(inputs) says how many)."
            )

    def _new(self, keys: Sequence[bytes], known: Collection[bytes]) -> set[bytes]:
        return set(keys) - set(known)

    def take_back(self, keys: Sequence[bytes]) -> None:
        """Note that rows which were let in got no answer."""

    def under(self, budget: int | None) -> "Account":
        """Return an account with a budget of its own, within this one's."""
        return Account(budget, above=self)

    def charge(self, n: int) -> None:
        """Count `n` queries."""
        self.queries += n
        if self._above is not None:
            self._above.charge(n)


@dataclass(kw_only=True, eq=False)
class _Search:
    """What the accounts of one search share: the rows that they counted, and whether a second question is one."""

    seen: set[bytes] = field(default_factory=set)
    must_check: bool


class SearchAccount(Account):
    """Counts what a new black box would have been asked: answers that are known from elsewhere count too.

    So a search ends the same whatever the black box was asked before, and one that was interrupted, begun again, goes
    on from where it was: its questions count as they did, and the predictor hears the others alone.

    Args:
        budget: queries allowed in all; None for no limit.
        above: charged with what the predictor answers.
        checks: whether a new black box asks one row a second time.
    """

    def __init__(self, budget: int | None, *, above: Account, checks: bool = False) -> None:
        super().__init__(budget, above=above)
        self._paid = above
        self._charged = 0
        self._search: _Search = above._search if isinstance(above, SearchAccount) else _Search(must_check=checks)

    @property
    def is_new(self) -> bool:
        """Whether nothing was asked yet."""
        return not self._search.seen

    @property
    def recalled(self) -> int:
        """How many of the queries the predictor need not answer."""
        return max(0, self.queries - self._charged)

    def allows_check(self, n: int = 0) -> bool:
        """Whether a row may be asked a second time: it was counted with the first ones."""
        return not self._search.must_check and self._paid.allows_check(n)

    def affordable(self, keys: Sequence[bytes], known: Collection[bytes]) -> int:
        """Count the leading rows that fit, here by what was asked in this search, above by what is known."""
        own = None if self.budget is None else self.budget - self.queries
        return min(_leading(keys, self._search.seen, own), self._paid.affordable(keys, known))

    def enter(self, keys: Sequence[bytes], known: Collection[bytes], *, name: str) -> None:
        """Let rows in, and count those that were not asked in this search."""
        super().enter(keys, known, name=name)
        search, new = self._search, self._new(keys, known)
        search.seen |= new
        self._count(len(new))
        if new and search.must_check and (self.budget is None or self.queries < self.budget):
            search.must_check = False
            self._count(1)

    def take_back(self, keys: Sequence[bytes]) -> None:
        """Count rows no longer that got no answer."""
        lost = set(keys) & self._search.seen
        self._search.seen -= lost
        self._count(-len(lost))

    def charge(self, n: int) -> None:
        """Note what the predictor answered."""
        self._charged += n
        self._paid.charge(n)

    def under(self, budget: int | None) -> "SearchAccount":
        """Return an account of the same search."""
        return SearchAccount(budget, above=self)

    def _new(self, keys: Sequence[bytes], known: Collection[bytes]) -> set[bytes]:  # noqa: ARG002
        return set(keys) - self._search.seen

    def _count(self, n: int) -> None:
        self.queries += n
        if isinstance(self._paid, SearchAccount):
            self._paid._count(n)


def _leading(keys: Sequence[bytes], known: Collection[bytes], most: int | None) -> int:
    """Return how many leading rows hold at most so many that are not known, each counted once."""
    seen = set(known)
    for row, key in enumerate(keys):
        if key not in seen:
            if most is not None and most <= 0:
                return row
            seen.add(key)
            most = None if most is None else most - 1
    return len(keys)
