"""What is offered to an archive fits into one association, however many kinds of image are wanted."""

from imaging.sources.associations import MAX_CONTEXTS, SYNTAXES, _contexts


def classes(count: int) -> list[str]:
    return [f"1.2.840.10008.5.1.4.1.1.{number}" for number in range(1, count + 1)]


def test_few_classes_are_offered_in_each_syntax_by_itself() -> None:
    offered = _contexts(classes(2))
    assert offered == [(sop_class, (syntax,)) for sop_class in classes(2) for syntax in SYNTAXES]


def test_many_classes_share_a_context_and_never_are_too_many() -> None:
    several = _contexts(classes(20))
    assert [sop_class for sop_class, _ in several] == classes(20)
    assert all(syntaxes == SYNTAXES for _, syntaxes in several)
    for count in (1, 2, 20, 126, 500):
        assert len(_contexts(classes(count))) <= MAX_CONTEXTS
