"""What people read is what was there."""

from rich.table import Table

from router.cli.screen import screen


def test_an_arn_is_no_picture(capsys):
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-a1b2c3"
    table = Table(box=None, show_header=False)
    table.add_row("URI", arn)
    screen().print(table)
    assert arn in capsys.readouterr().out
