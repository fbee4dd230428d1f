"""The looks of strategies."""

from synthetic import study_of

from weakneg.report.figures.style import styles


def test_styles_tell_strategies_apart_and_do_not_depend_on_order(toy):
    names = [*toy[2]["strategies"], "svm_margin", "kl_embedding", *(f"own_{i}" for i in range(20))]
    found = styles(study_of(["a"], names))
    assert len(set(found.values())) == len(names)
    known = [name for name in names if not name.startswith(("own", "my"))]
    backwards = styles(study_of(["a"], names[::-1]))
    assert all(found[name] == backwards[name] for name in known)
