"""Handwritten digits of scikit-learn: 1,797 greyscale images of 8 x 8, part of that package.

They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI
Machine Learning Repository, 1998). There is no published split, so we define one: a third of the
images of each class, drawn with a fixed seed, is the test split. Images are split before bags are
drawn.
"""

import numpy as np

from weakneg.datasets import Dataset, Folder, Images

CLASSES: tuple[str, ...] = tuple(str(digit) for digit in range(10))

_SPLIT_SEED = 0


def load_images(split: str, folder: Folder | None = None) -> Images:
    """Load the images of a split.

    Parameters
    ----------
    split : {"train", "test"}
        Which split, of 1,198 or of 599 images.
    folder : path, optional
        Not used: the images come with scikit-learn.

    Returns
    -------
    Images
        Values 0..16.
    """
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
