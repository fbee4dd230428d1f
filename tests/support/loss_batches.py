"""Batches for the tests of losses."""

import torch

from weakneg.losses.batch import Batch


def batch(logits, labels, observed=None, epoch=1, bags=None, state=None):
    """A batch of lists or tensors; positives are observed unless said otherwise."""
    logits = torch.as_tensor(logits)
    if not logits.requires_grad:
        logits = logits.clone().requires_grad_()
    labels = torch.as_tensor(labels, dtype=logits.dtype)
    observed = labels == 1 if observed is None else torch.as_tensor(observed)
    bags = torch.arange(len(logits)) if bags is None else torch.as_tensor(bags)
    return Batch(logits, labels, observed, epoch, bags, state or {})


def logit(p):
    """The logits of probabilities, in float64."""
    return torch.as_tensor(p, dtype=torch.float64).logit()
