"""Part prototypes with the residual shared by Nelder-Mead, as the paper says."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from likethat._calls import public
from likethat._session import in_own_session
from likethat.explainers import parts
from likethat.functional.sharing import nelder_mead_shares
from likethat.options.declaring import option


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class PartPrototypes(parts.PartPrototypes):
    """`likethat.PartPrototypes(algorithm="shared")` with shares that a search finds: slower, to the same optimum.

    Source:
        Tan, Zhou, Chen (2024), step 3: Nelder-Mead under a constraint that is not known to us.

    Differs:
        The search minimises `likethat.functional.sharing.share_objective`.
    """

    name: ClassVar[str] = "PartPrototypes as published"

    algorithm: Literal["shared"] = option("shared", "the paper's: least squares and a shared residual")

    def shares(self, sizes: Float[Tensor, " part"]) -> Float[Tensor, " part"]:
        """Return each part's share of the residual, by a search."""
        return nelder_mead_shares(sizes)
