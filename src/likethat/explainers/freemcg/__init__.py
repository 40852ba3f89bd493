"""FreeMCG: counterfactuals and attributions of any black box, from its outputs alone."""

from likethat.explainers.freemcg.method import FreeMCG

__all__ = ["FreeMCG"]
