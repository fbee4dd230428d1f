"""The stage that writes the feature stores of both splits."""

from pathlib import Path

from weakneg import features
from weakneg.config.stages import FeaturesSettings
from weakneg.stages import stage


@stage
def build_features(
    settings: FeaturesSettings,
    folder: Path,
    train_store: Path,
    test_store: Path,
    problems: Path,
    inputs: list[Path] | None = None,
) -> None:
    """Write the feature stores of a data set, one per split, and the list of its problems.

    Parameters
    ----------
    settings : FeaturesSettings
        The data set, and for audio the settings of the spectrograms and the names of all classes.
    folder : Path
        Folder with the files of the data set.
    train_store, test_store : Path
        The feature stores to write.
    problems : Path
        The CSV file to write, with the fields of `weakneg.datasets.Problem`.
    inputs : list of Path
        For audio, the list of recordings and the shards of features.

    Raises
    ------
    UserError
        When a file of the data set cannot be used, or a split has no clips.
    """
    make = features.way("from_files" if settings.audio is None else "from_shards")
    make(settings, folder, inputs or [], train_store, test_store, problems)
