"""What people read is what was there."""

from rich.table import Table

from router.cli.screen import printable, screen


def test_an_arn_is_no_picture(capsys):
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-a1b2c3"
    table = Table(box=None, show_header=False)
    table.add_row("URI", arn)
    screen().print(table)
    assert arn in capsys.readouterr().out


def test_a_strangers_text_steers_no_terminal():
    assert printable("\x1b[2Jgone\x07 \x9b1m\u202e") == "\\x1b[2Jgone\\x07 \\x9b1m\\u202e"
    assert printable("naïve 🙂\n\tline") == "naïve 🙂\n\tline"
