"""Messages of sources, as they stand in a table."""

from weakneg.audio.outcome import one_line


def test_messages_are_one_printable_line():
    assert one_line("a\n b\r\n\t\x1b[31mc\x00\u2028d\ud800") == "a b [31mc d"
    assert len(one_line("x" * 10_000)) == 300
