"""What an audit can be told."""

from dataclasses import KW_ONLY, dataclass

from likethat.options.declaring import Declared, option, seed_option


@dataclass(frozen=True, eq=False)
class AuditOptions(Declared):
    """The options of `likethat.audit`."""

    _: KW_ONLY
    n_shortcuts: int = option(3, "directions looked at, at most", low=1)
    n_pictures: int = option(6, "pictures shown of each state, pairs of copies", low=1)
    n_labels: int = option(24, "doubtful labels shown, at most")
    seed: int = seed_option("of the halves, the components and the null; the same seed, the same audit")
