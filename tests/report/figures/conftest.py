"""What tests of several figures start from."""

import pytest
from drawn import make_study


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Metrics, runs and settings of a small study."""
    strategies = ["full", "random", "badge", "margin", "entropy", "my_own"]
    return make_study(tmp_path_factory.mktemp("toy"), ["$5 $10", "a|b_c"], strategies, n_seeds=2)
