"""The part prototypes' formulas in loops, written from the equations."""

import numpy as np


def hals_round(x: np.ndarray, e: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One round of hierarchical alternating least squares, coordinate by coordinate."""
    e, p = e.copy(), p.copy()
    for part in range(p.shape[0]):
        rest = x - e @ p + np.outer(e[:, part], p[part])
        size = p[part] @ p[part]
        e[:, part] = np.maximum(rest @ p[part] / size, 0) if size > 0 else 0
    for part in range(p.shape[0]):
        rest = x - e @ p + np.outer(e[:, part], p[part])
        size = e[:, part] @ e[:, part]
        p[part] = np.maximum(e[:, part] @ rest / size, 0) if size > 0 else 0
    return e, p


def ownership_loss(f: np.ndarray, s: np.ndarray, v: np.ndarray, q: np.ndarray, strength: float) -> float:
    """Sum over parts of ``||F q_i - s_i * (F v)||^2 + strength ||q_i - v / k||^2``, cell by cell."""
    total = 0.0
    for part in range(s.shape[1]):
        for cell in range(len(f)):
            total += (f[cell] @ q[part] - s[cell, part] * (f[cell] @ v)) ** 2
        total += strength * ((q[part] - v / s.shape[1]) ** 2).sum()
    return total
