"""What is explained: a trained classifier, cut before its pooling into map, pooled vector and head."""

from likethat.models._own import is_own
from likethat.models.black_box import BlackBox, box_for
from likethat.models.loading import load
from likethat.models.preprocessing import Preprocess
from likethat.models.split import split
from likethat.models.split_model import Head, SplitModel, SplitOutput
from likethat.models.taking import as_model, check_model

__all__ = [
    "BlackBox",
    "Head",
    "Preprocess",
    "SplitModel",
    "SplitOutput",
    "as_model",
    "box_for",
    "check_model",
    "is_own",
    "load",
    "split",
]
