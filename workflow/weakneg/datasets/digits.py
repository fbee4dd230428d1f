"""Handwritten digits of scikit-learn: 1,797 grey images of 8 x 8, embedded in the package.

They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI
Machine Learning Repository, 1998). The set has no published split, so the rule is ours: one third
of the images of each class, drawn once with a fixed seed, is the test split. It is a split of
images, made before any bag is drawn.
"""

import numpy as np

from weakneg.datasets import Dataset, Images

CLASSES: tuple[str, ...] = tuple(str(digit) for digit in range(10))

_SPLIT_SEED = 0


def load_images(split: str, folder=None) -> Images:
    """Images of `split`, "train" (1,198) or "test" (599), values 0..16. No `folder` is read."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)),
        test_size=1 / 3,
        stratify=digits.target,
        random_state=_SPLIT_SEED,
    )
    rows = np.sort({"train": train, "test": test}[split])
    return Images(
        x=digits.images[rows, None].astype(np.uint8),
        y=digits.target[rows].astype(np.int64),
        id=rows.astype(np.int64),
    )


DATASET = Dataset(kind="images", class_names=CLASSES, load_images=load_images)
