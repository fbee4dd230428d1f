"""CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 in colour, 10 classes."""

from weakneg.datasets import Dataset
from weakneg.datasets.cifar import Cifar

CLASSES: tuple[str, ...] = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_PUBLISHED = Cifar(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    label_key="labels",
)

DATASET = Dataset(
    kind="images",
    class_names=CLASSES,
    files=_PUBLISHED.files,
    fetch=_PUBLISHED.fetch,
    load_images=_PUBLISHED.load,
)
