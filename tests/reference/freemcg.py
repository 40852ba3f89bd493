"""FreeMCG's equations in loops, written from the paper: slow, and easy to check by eye."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cross_covariance(inputs: Array, outputs: Array) -> Array:
    """C_xf, one row an output: the mean over particles of input anomaly times output anomaly."""
    n, size = inputs.shape
    n_outputs = outputs.shape[1]
    found = np.zeros((n_outputs, size))
    for output in range(n_outputs):
        for place in range(size):
            total = 0.0
            for k in range(n):
                total += (inputs[k, place] - inputs[:, place].mean()) * (outputs[k, output] - outputs[:, output].mean())
            found[output, place] = total / n
    return found


def gradient(inputs: Array, logits: Array, target: int) -> Array:
    """g = C_xf (e_c - p), p the mean of the particles' softmax."""
    n, n_classes = logits.shape
    p = np.zeros(n_classes)
    for k in range(n):
        weights = [math.exp(value - logits[k].max()) for value in logits[k]]
        for cls in range(n_classes):
            p[cls] += weights[cls] / sum(weights) / n
    covariance = cross_covariance(inputs, logits)
    found = np.zeros(inputs.shape[1])
    for cls in range(n_classes):
        found += covariance[cls] * ((1.0 if cls == target else 0.0) - p[cls])
    return found


def release_direction(inputs: Array, log_probabilities: Array, target: int) -> Array:
    """Each particle's anomaly, with the sign of its own weight (f_k - mean f) · (e_c - p_k)."""
    found = np.zeros_like(inputs)
    for k in range(len(inputs)):
        weight = 0.0
        for cls in range(log_probabilities.shape[1]):
            pull = (1.0 if cls == target else 0.0) - math.exp(log_probabilities[k, cls])
            weight += (log_probabilities[k, cls] - log_probabilities[:, cls].mean()) * pull
        found[k] = np.sign(weight) * (inputs[k] - inputs.mean(axis=0))
    return found
