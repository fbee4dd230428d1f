"""The bag classifier: an encoder of instances, and a head that pools them into a bag logit."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from weakneg import models
from weakneg.errors import UserError
from weakneg.models import classes
from weakneg.models.attention import AttentionHead
from weakneg.models.pooling import POOLINGS, PooledHead
from weakneg.models.psla import PslaHead
from weakneg.models.scores import BagScores

if TYPE_CHECKING:
    from weakneg.config.sections import ModelSettings


class BagClassifier(nn.Module):
    """Scores bags of instances.

    Parameters
    ----------
    encoder : Module
        (N, *instance shape) -> (N, D), with an attribute `embedding_size` D. An encoder of
        spectrograms makes the instances: (N, T, F) -> (N, n, D), and has an attribute `frame_step`,
        the number of rows from the centre of one to that of the next; the first is centred on the
        first row.
    pooling : str
        "attention", "psla", or a name in `POOLINGS`.
    attention_heads : int
        Number of heads of the poolings "attention" and "psla".
    precision : {"float32", "bfloat16"}
        Precision of the encoder; everything after it is float32.
    n_classes : int, optional
        Number of classes C with an output each; None for one class, without that dimension.

    Attributes
    ----------
    embedding_size : int
        D.
    frame_step : int
        That of an encoder of spectrograms; 1 for others.
    mixes_instances : bool
        Whether the encoder has a batch normalisation, in which one instance affects others.
    """

    def __init__(
        self,
        encoder: nn.Module,
        pooling: str,
        attention_heads: int = 4,
        precision: str = "float32",
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.precision = precision
        assert isinstance(encoder.embedding_size, int)
        self.embedding_size = encoder.embedding_size
        self.frame_step: int = getattr(encoder, "frame_step", 1)
        self.n_classes = n_classes
        self.head: AttentionHead | PslaHead | PooledHead | classes.ClassesHead
        if n_classes is not None and n_classes > 1:
            self.head = classes.head(self.embedding_size, pooling, attention_heads, n_classes)
        elif pooling == "attention":
            self.head = AttentionHead(self.embedding_size, attention_heads)
        elif pooling == "psla":
            self.head = PslaHead(self.embedding_size, attention_heads)
        else:
            self.head = PooledHead(self.embedding_size, POOLINGS[pooling])
        self.mixes_instances = any(
            isinstance(module, nn.modules.batchnorm._BatchNorm) for module in encoder.modules()
        )

    def encode(self, x: Tensor) -> Tensor:
        """Apply the encoder to x (N, *shape) in its precision; the result is float32."""
        if self.precision == "float32":
            encoded: Tensor = self.encoder(x)
            return encoded
        with torch.autocast(x.device.type, torch.bfloat16):
            encoded = self.encoder(x)
            return encoded.float()

    def instances(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute the embeddings of the instances of bags; parameters as in `forward`.

        Returns
        -------
        (B, n, D) float32
            Embeddings.
        (B, n) bool
            True where there is an instance.
        """
        if mask is None or mask.shape[1] != x.shape[1]:
            h = self.encode(x.flatten(0, 1)).reshape(x.shape[0], -1, self.embedding_size)
            if mask is None:
                return h, torch.ones(h.shape[:2], dtype=torch.bool, device=x.device)
            # The encoder has seen the padding of a spectrogram: its batch normalisations and
            # squeeze-and-excitations depend on it. Only the pooling leaves it out.
            return h, _with_sound(mask, h.shape[1], self.frame_step)
        if not self.mixes_instances:
            h = self.encode(x.flatten(0, 1))
        else:
            # Padded instances must not enter the statistics of a batch normalisation.
            real = mask.flatten()
            encoded = self.encode(x.flatten(0, 1)[real])
            h = encoded.new_zeros(len(real), self.embedding_size)
            h[real] = encoded
        return h.unflatten(0, x.shape[:2]), mask

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the logits of bags.

        Parameters
        ----------
        x : (B, n, *shape) float32
            Bags.
        mask : (B, n) bool, optional
            True where there is an instance. None if there is one everywhere: on a GPU this saves
            waiting for the positions of the others. For spectrograms, of which x has one per bag,
            (B, T): true for the rows that hold sound.

        Returns
        -------
        (B,) or (B, C) float32
        """
        return self._by_class(self.head.logit(*self.instances(x, mask)))

    def score(self, x: Tensor, mask: Tensor | None = None, gradients: bool = True) -> BagScores:
        """Compute the logits of bags, and what else the strategies see.

        Parameters
        ----------
        x, mask : tensors
            As in `forward`.
        gradients : bool
            Whether to compute gradient directions.

        Returns
        -------
        BagScores
        """
        scores = self.head.score(*self.instances(x, mask), gradients)
        return replace(scores, logits=self._by_class(scores.logits))

    def parts(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute what each instance says of each class.

        Parameters
        ----------
        x, mask : tensors
            As in `forward`.

        Returns
        -------
        (B, n, C) float32
            What it adds to the logit of the bag (pooling `attention`), or to its probability
            (`psla`), or its own logit (others).
        """
        h, mask = self.instances(x, mask)
        if isinstance(self.head, PooledHead):
            found = self.head.instance_logits(h)
        else:
            found = self.head.parts(h, mask)
        return found[..., None] if found.dim() == 2 else found

    def _by_class(self, logits: Tensor) -> Tensor:
        """The logits, (B, 1) where one class is all that there are."""
        return logits.unsqueeze(1) if self.n_classes == 1 else logits


def _with_sound(rows: Tensor, n: int, step: int) -> Tensor:
    """Which of n instances, `step` rows apart, hold sound (B, n), given which rows do (B, T).

    An instance does if the row in its centre does; the first always, as a bag must have one.
    """
    return rows[:, ::step][:, :n] | (torch.arange(n, device=rows.device) == 0)


def load(
    settings: "ModelSettings", shape: tuple[int, ...], n_classes: int | None = None
) -> BagClassifier:
    """Build a classifier with random weights.

    Parameters
    ----------
    settings : ModelSettings
        Names the file of the encoder, the pooling and the precision.
    shape : tuple of int
        Shape of an instance, or of a spectrogram.
    n_classes : int, optional
        As for `BagClassifier`.

    Returns
    -------
    BagClassifier

    Raises
    ------
    UserError
        When an encoder of spectrograms makes other instances than its `frame_step` says.
    """
    module = models.module(settings.name)
    encoder = module.build(shape)
    if module.KIND == "spectrograms":
        _check_instances(encoder, settings.name, shape)
    return BagClassifier(
        encoder, settings.pooling, settings.attention_heads, settings.precision, n_classes
    )


@torch.no_grad()
def _check_instances(encoder: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """Encode a blank spectrogram, as padding is masked where `frame_step` says that it is."""
    step = getattr(encoder, "frame_step", None)
    if step is None:
        raise UserError(
            f"model {name}: an encoder of spectrograms needs the attribute frame_step, the number "
            "of rows from one instance to the next: add it."
        )
    found = encoder.eval()(torch.zeros(1, *shape)).shape[1]
    encoder.train()
    if found != math.ceil(shape[0] / step):
        raise UserError(
            f"model {name}: with frame_step {step}, a spectrogram of {shape[0]} rows must have "
            f"{math.ceil(shape[0] / step)} instances, not {found}: correct frame_step or the "
            "encoder."
        )
