"""What `kenpin-train` says before it trains, and before it loads what training needs."""

from pathlib import Path

import pytest

from train.cli import main, parser
from train.tiles import MOST


@pytest.mark.parametrize("tiles", ["1000x1000", "100x1", "8x9"])
def test_more_tiles_than_there_may_be_are_refused_with_how_many_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiles: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["shapes", "--out", str(tmp_path / "run"), "--tiles", tiles])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"name at most {MOST} in all" in said
    assert "is not ROWSxCOLUMNS" not in said


@pytest.mark.parametrize("tiles", ["2", "0x3", "2x", "twoxthree"])
def test_what_names_no_rows_and_columns_is_told_how_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiles: str
) -> None:
    with pytest.raises(SystemExit):
        main(["shapes", "--out", str(tmp_path / "run"), "--tiles", tiles])
    assert "is not ROWSxCOLUMNS, such as 2x3" in capsys.readouterr().err


def test_the_help_tells_how_many_tiles_there_may_be() -> None:
    assert f"at most {MOST} in all" in " ".join(parser().format_help().split())
