"""Pools that are small enough to work out by hand."""

import torch

from weakneg.strategies import load
from weakneg.strategies.pool import Pool, Scores


def tensor(values):
    return torch.as_tensor(values, dtype=torch.float64)


def select(name, k, logits=None, embeddings=None, positives=None, seed=0, **options):
    """Choose from `small_pool` with the generator of a seed."""
    pool = small_pool(logits, embeddings, positives, name)
    return load(name, options)(pool, k, torch.Generator().manual_seed(seed))


def small_pool(logits=None, embeddings=None, positives=None, name="the strategy"):
    """Ids are positions. `positives`: logits, embeddings. Gradients: (p - y) h."""
    logits = torch.zeros(len(embeddings)).double() if logits is None else torch.as_tensor(logits)
    embeddings = torch.ones(len(logits), 1) if embeddings is None else torch.as_tensor(embeddings)
    positive_logits, positive_embeddings = positives or ([0.0], [[1.0] * embeddings.shape[1]])

    def gradients(label, rows):
        y = {"known": torch.zeros_like(logits), "hypothesised": (logits > 0).to(logits)}[label]
        return ((logits.sigmoid() - y)[:, None] * embeddings)[rows]

    def score(with_gradients):
        return Scores(logits, embeddings, gradients)

    def score_positives():
        return Scores(tensor(positive_logits), tensor(positive_embeddings), gradients)

    return Pool(torch.arange(len(logits)), score, score_positives, strategy=name, epoch=1)


def log_odds(probabilities):
    return tensor(probabilities).logit()
