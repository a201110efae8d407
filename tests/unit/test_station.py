"""STATION.toml: read whole, and every mistake told with its place."""

import re
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.cameras.config import FolderCamera, VideoCamera
from edge_runtime.errors import StationError
from edge_runtime.station import Station
from edge_runtime.verdict import Thresholds

GOOD = """\
site = "plant-a"
line = "L3"
station = "cam-2"
bundle = "part.onnx"
data = "state"
[camera]
kind = "folder"
path = "pictures"
rate_hz = 5.0
[region.J4]
expected = "A12"
box = [0, 0, 300, 300]
[region.J5]
expected = "B7"
[mqtt]
host = "127.0.0.1"
"""
DOCS = Path(__file__).parents[2] / "docs" / "station.md"


def read(folder: Path, text: str) -> Station:
    path = folder / "station.toml"
    path.write_text(text, encoding="utf-8")
    return Station.read(path)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(StationError) as caught:
        read(folder, text)
    return [mistake.removeprefix(f"{folder}/") for mistake in caught.value.mistakes]


def test_the_example_in_the_documentation_is_a_station(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    station = read(tmp_path, example[1])
    assert set(station.region) == {"J4", "J5"}
    documented = set(re.findall(r"^#? ?(\w+) = ", example[1], re.MULTILINE))
    assert documented == {
        *("site", "line", "station", "bundle", "trusted_keys", "data", "kind", "path", "rate_hz", "repeat"),
        *("expected", "box", "host", "port", "prefix", "defect", "mismatch"),
        *("corners", "template", "at", "search", "likeness"),
        *("size", "dark", "burnt_out", "blurred", "frozen", "torn"),
        *("tls", "version", "ca", "certificate", "key", "user", "password_file"),
    }


def test_paths_are_relative_to_the_files_folder(tmp_path: Path) -> None:
    station = read(tmp_path, GOOD)
    assert station.bundle == tmp_path / "part.onnx"
    assert station.data == tmp_path / "state"
    assert isinstance(station.camera, FolderCamera)
    assert station.camera.path == tmp_path / "pictures"


def test_a_data_folder_that_is_a_file_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a list of what to do", encoding="utf-8")
    file = tmp_path / "state"
    (told,) = mistakes(tmp_path, GOOD)
    assert told == (
        f'station.toml:5 data = "state": no folder: {file} is a file; '
        'expected a folder of this station\'s own, as data = "state"'
    )
    (told,) = mistakes(tmp_path, GOOD.replace('"state"', '"state/c"'))
    assert f'data = "state/c": no folder: {file} is a file' in told


def test_over_tls_the_port_is_another(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).mqtt.port == 1883
    assert read(tmp_path, GOOD + "tls = true\n").mqtt.port == 8883
    assert read(tmp_path, GOOD + "tls = true\nport = 1234\n").mqtt.port == 1234
    assert read(tmp_path, GOOD + 'tls = true\nca = "plant.pem"\n').mqtt.ca == tmp_path / "plant.pem"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('ca = "plant.pem"', '17 [mqtt] ca = "plant.pem": counts with tls = true only'),
        ('tls = true\ncertificate = "cam.pem"', "[mqtt] key: belongs to certificate: name both or none"),
        ('tls = true\nkey = "cam.key"', '18 [mqtt] key = "cam.key": belongs to certificate: name both or none'),
        ('password_file = "secret"', 'password_file = "secret": is nobody\'s: name user, too'),
        ('tls = "yes"', '17 [mqtt] tls = "yes": must be a valid boolean; expected true'),
        ('user = ""', '17 [mqtt] user = "": '),
    ],
)
def test_half_of_what_lets_a_client_in_is_a_mistake(tmp_path: Path, lines: str, told: str) -> None:
    (mistake,) = mistakes(tmp_path, f"{GOOD}{lines}\n")
    assert told in mistake


def test_trusted_keys_are_relative_to_the_files_folder_too(tmp_path: Path) -> None:
    station = read(tmp_path, 'trusted_keys = ["plant.pub", "/etc/kenpin/spare.pub"]\n' + GOOD)
    assert station.trusted_keys == (tmp_path / "plant.pub", Path("/etc/kenpin/spare.pub"))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("[]", "names no key; without this line, bundles are not checked"),
        ('"plant.pub"', "must be a list"),
        ("[7]", "must be the text of a path"),
        ('["plant.pub", ""]', "must be the text of a path"),
    ],
)
def test_trusted_keys_that_are_none_are_never_taken_for_unchecked(tmp_path: Path, keys: str, told: str) -> None:
    (found,) = mistakes(tmp_path, f"trusted_keys = {keys}\n{GOOD}")
    assert found.startswith(f"station.toml:1 trusted_keys = {keys}: {told}")
    assert found.endswith('as trusted_keys = ["plant.pub"]')


def test_a_misspelt_trusted_keys_is_a_mistake_not_a_station_without(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, f'trusted_key = ["plant.pub"]\n{GOOD}')
    assert found.endswith('unknown key; did you mean "trusted_keys"?')


SLANTED = "corners = [[0, 0], [300, 10], [290, 300], [5, 280]]"
BOX = "box = [0, 0, 300, 300]"
MARK = '[mark.left]\ntemplate = "left.png"\nat = [120, 80]\nsearch = 40\n'


def test_a_region_may_be_seen_in_perspective(tmp_path: Path) -> None:
    region = read(tmp_path, GOOD.replace(BOX, SLANTED)).region["J4"]
    assert region.corners == ((0, 0), (300, 10), (290, 300), (5, 280))
    assert region.bounds() == (0, 0, 300, 300)


@pytest.mark.parametrize(
    ("corners", "told"),
    [
        ("[[0, 0], [0, 9], [9, 9], [9, 0]]", "goes counterclockwise, which shows the part mirrored; expected four"),
        ("[[0, 0], [9, 9], [9, 0], [0, 9]]", "crosses itself or is dented; expected four [x, y] in pixels, clockwise"),
        ("[[0, 0], [9, 0], [9, 9]]", "has too few values; expected four [x, y] in pixels"),
        ("[[0, 0], [9, 0], [9, 9], [0]]", "has too few values"),
        ("[[0, 0], [9, 0], [9, 9], [0, true]]", "must be a valid number"),
        ("[0, 0, 9, 9]", "must be a list"),
    ],
)
def test_corners_that_no_part_has_are_told_with_their_line(tmp_path: Path, corners: str, told: str) -> None:
    found = mistakes(tmp_path, GOOD.replace(BOX, f"corners = {corners}"))
    assert found[0].startswith("station.toml:12 [region.J4] corners = [")
    assert told in found[0]


def test_box_and_corners_together_are_a_mistake(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, GOOD.replace(BOX, f"{BOX}\n{SLANTED}"))
    assert found.startswith("station.toml:13 [region.J4] corners = ")
    assert "stands beside box: name one of the two" in found


def test_marks_are_read_with_their_templates_beside_the_file(tmp_path: Path) -> None:
    text = GOOD.replace('"B7"', f'"B7"\n{BOX}') + MARK
    mark = read(tmp_path, text).mark["left"]
    assert (mark.template, mark.at, mark.search, mark.likeness) == (tmp_path / "left.png", (120, 80), 40, 0.7)
    assert read(tmp_path, GOOD).mark == {}


def test_a_whole_frame_cannot_follow_a_mark(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, GOOD + MARK)
    assert found.startswith("station.toml:17 [mark]: moves regions, but J5 has neither box nor corners")


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("search = 40\n", "", "station.toml:18 [mark.left] search: is missing; expected how many pixels it may"),
        ("search = 40", "search = 0", "station.toml:21 [mark.left] search = 0: must be greater than or equal to 1"),
        ("at = ", "att = ", 'station.toml:20 [mark.left] att = [120, 80]: unknown key; did you mean "at"?'),
        ("search = 40", "search = 40\nlikeness = 1.5", "station.toml:22 [mark.left] likeness = 1.5: must be less"),
        (MARK, MARK + MARK.replace("left", "b") + MARK.replace("left", "c"), "station.toml:18 [mark]: "),
    ],
)
def test_a_mistake_in_a_mark_names_its_place(tmp_path: Path, was: str, now: str, told: str) -> None:
    text = GOOD.replace('"B7"', f'"B7"\n{BOX}') + MARK
    found = mistakes(tmp_path, text.replace(was, now))
    assert any(mistake.startswith(told) for mistake in found), found


def test_the_limits_of_the_gate_can_be_stated(tmp_path: Path) -> None:
    gate = read(tmp_path, GOOD + "[gate]\nsize = [1280, 1024]\nburnt_out = 0.5\ndark = 30\ntorn = false\n").gate
    assert (gate.size, gate.burnt_out, gate.dark, gate.torn, gate.frozen) == ((1280, 1024), 0.5, 30, False, 3)
    (found,) = mistakes(tmp_path, GOOD + "[gate]\nblured = 0.1\n")
    assert found == 'station.toml:18 [gate] blured = 0.1: unknown key; did you mean "blurred"?'


def test_what_is_left_out_has_a_harmless_default(tmp_path: Path) -> None:
    station = read(tmp_path, GOOD)
    assert (station.mqtt.port, station.mqtt.prefix) == (1883, "kenpin")
    assert station.region["J5"].box is None
    assert station.trusted_keys == ()
    shipped = Thresholds(defect=0.3, mismatch=0.4)
    assert station.limits(shipped) == shipped


def test_a_stations_own_threshold_counts_and_the_other_stays_the_bundles(tmp_path: Path) -> None:
    station = read(tmp_path, GOOD + "[thresholds]\ndefect = 0.9\n")
    assert station.limits(Thresholds(defect=0.3, mismatch=0.4)) == Thresholds(defect=0.9, mismatch=0.4)


def test_a_video_needs_no_rate(tmp_path: Path) -> None:
    station = read(tmp_path, GOOD.replace('"folder"', '"video"').replace("rate_hz = 5.0\n", ""))
    assert station.camera == VideoCamera(kind="video", path=tmp_path / "pictures")


def test_every_mistake_is_told_in_one_go_with_its_line(tmp_path: Path) -> None:
    text = GOOD.replace('"plant-a"', '"plant/a"').replace("rate_hz", "rate_hertz").replace("300, 300]", "300.5, 300]")
    text = text.replace('expected = "B7"', "").replace('"127.0.0.1"', '"127.0.0.1"\nport = 70000')
    found = mistakes(tmp_path, text)
    assert [mistake.split(":", 2)[0:2] for mistake in found] == [
        ["station.toml", '1 site = "plant/a"'],
        ["station.toml", "9 [camera] rate_hertz = 5.0"],
        ["station.toml", "12 [region.J4] box = [0, 0, 300.5, 300]"],
        ["station.toml", "13 [region.J5] expected"],
        ["station.toml", "17 [mqtt] port = 70000"],
    ]
    assert 'did you mean "rate_hz"?' in found[1]
    assert "expected a port from 1 to 65535" in found[4]


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ('site = "plant-a"\n', "", "station.toml: site: is missing; expected a name"),
        ("[region.J4]", "[regoin.J4]", 'station.toml:10 [regoin]: unknown key; did you mean "region"?'),
        ('"folder"', '"webcam"', 'station.toml:7 [camera] kind = "webcam": expected kind = "folder" or "video"'),
        ('kind = "folder"\n', "", 'station.toml:6 [camera] kind: expected kind = "folder" or "video"'),
        ('"part.onnx"', "7", "station.toml:4 bundle = 7: must be the text of a path"),
        ('"part.onnx"', '""', 'station.toml:4 bundle = "": must be the text of a path'),
        ("5.0", "true", "station.toml:9 [camera] rate_hz = true: must be a valid number"),
        ("5.0", "0", "station.toml:9 [camera] rate_hz = 0: must be greater than 0"),
        ("5.0", "nan", "station.toml:9 [camera] rate_hz = NaN: must be"),
        ("300, 300]", "300]", "station.toml:12 [region.J4] box = [0, 0, 300]: has too few values"),
        ("[0, 0, 300", "[-1, 0, 300", "station.toml:12 [region.J4] box = [-1, 0, 300, 300]: must be greater"),
        ("[0, 0, 300", "[0, 0, 0", "station.toml:12 [region.J4] box = [0, 0, 0, 300]: must be greater"),
        ('"A12"', '""', 'station.toml:11 [region.J4] expected = ""'),
        ('"127.0.0.1"', '"a..b"', 'station.toml:16 [mqtt] host = "a..b": cannot be a host'),
    ],
)
def test_a_mistake_names_its_place_and_what_was_expected(tmp_path: Path, was: str, now: str, told: str) -> None:
    found = mistakes(tmp_path, GOOD.replace(was, now, 1))
    assert any(mistake.startswith(told) for mistake in found), found
    assert all("\n" not in mistake for mistake in found)


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#", "$SYS", "a\\u0000b", "x" * 65])
def test_a_name_that_is_no_topic_level_is_refused(tmp_path: Path, name: str) -> None:
    (found,) = mistakes(tmp_path, GOOD.replace('"L3"', f'"{name}"'))
    assert found.startswith("station.toml:2 line = ")


def test_another_mqtt_than_is_spoken_is_refused(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + 'version = "3.1.1"\n').mqtt.version == "3.1.1"
    (found,) = mistakes(tmp_path, GOOD + 'version = "3.1"\n')
    assert '"5" or "3.1.1"' in found


@pytest.mark.parametrize("prefix", ["", "/kenpin", "kenpin/", "a//b", "a/+", "#", "$share"])
def test_a_prefix_that_is_no_topic_is_refused(tmp_path: Path, prefix: str) -> None:
    (found,) = mistakes(tmp_path, GOOD + f'prefix = "{prefix}"\n')
    assert found.startswith("station.toml:17 [mqtt] prefix = ")


def test_a_prefix_may_have_levels(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + 'prefix = "plant/kenpin"\n').mqtt.prefix == "plant/kenpin"


def test_what_is_not_toml_is_one_line(tmp_path: Path) -> None:
    assert mistakes(tmp_path, GOOD + "port = \n") == ["station.toml:17: is not TOML: invalid value at column 8"]
    (found,) = mistakes(tmp_path, "a = [1,")
    assert found.startswith("station.toml: is not TOML: ")


def test_a_missing_file_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StationError, match=r"nothing.toml: cannot be read \(No such file or directory\); docs/"):
        Station.read(tmp_path / "nothing.toml")


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StationError, match="is not UTF-8"):
        Station.read(path)


def test_unknown_labels_are_told_for_all_regions_at_once(tmp_path: Path, readable_bundle: Bundle) -> None:
    station = read(tmp_path, GOOD.replace('"A12"', '"A13"').replace('"B7"', '"B8"'))
    with pytest.raises(StationError) as caught:
        station.check_against(readable_bundle.info)
    assert [mistake.removeprefix(f"{tmp_path}/") for mistake in caught.value.mistakes] == [
        'station.toml:11 [region.J4] expected = "A13": not a label of readable-1 (A12, B7, C3)',
        'station.toml:14 [region.J5] expected = "B8": not a label of readable-1 (A12, B7, C3)',
    ]


def test_known_labels_pass(tmp_path: Path, readable_bundle: Bundle) -> None:
    read(tmp_path, GOOD).check_against(readable_bundle.info)


def test_a_wrong_part_threshold_for_a_bundle_that_cannot_tell_is_a_mistake(
    tmp_path: Path, readable_bundle: Bundle
) -> None:
    one = readable_bundle.info.model_copy(update={"thresholds": Thresholds(defect=0.5, mismatch=None)})
    station = read(tmp_path, GOOD + "[thresholds]\nmismatch = 0.5\n")
    with pytest.raises(StationError, match=r"station.toml:18 \[thresholds\] mismatch = 0.5: wrong parts can't be told"):
        station.check_against(one)


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ('"part.onnx"', '"a\\u0000b"', '4 bundle = "a\\u0000b": holds the control character \\u0000; write it without'),
        ('"pictures"', '"a\\u0000b"', '8 [camera] path = "a\\u0000b": holds the control character \\u0000'),
        ('line = "L3"', 'line = "L3"\ntrusted_keys = ["a.pub", "\\u0000"]', "3 trusted_keys = ["),
        ('"folder"\npath = "pictures"', '"v4l2"\ndevice = "/dev/\\u0000"', '8 [camera] device = "/dev/\\u0000": holds'),
        ('"B7"', '"B\\n7"', '14 [region.J5] expected = "B\\n7": holds the control character \\n'),
        ("[region.J5]", '[region."J\\u0000"]', "10 [region]: holds the control character \\u0000"),
        ("[mqtt]", '[trigger]\nkind = "presence"\nwhen = "still"\nempty = "\\u0000"\n[mqtt]', "18 [trigger] empty ="),
        ("[mqtt]", '[metrics]\nhost = "\\u0000"\nport = 1\n[mqtt]', '16 [metrics] host = "\\u0000": holds'),
        ('"127.0.0.1"', '"h"\ntls = true\nca = "\\u0000"', '18 [mqtt] ca = "\\u0000": holds the control'),
        ('"127.0.0.1"', '"h"\nuser = "\\u007f"', '17 [mqtt] user = "\\u007f": holds the control'),
    ],
)
def test_a_control_character_is_refused_wherever_it_stands(tmp_path: Path, was: str, now: str, told: str) -> None:
    found = mistakes(tmp_path, GOOD.replace(was, now))
    assert any(mistake.removeprefix("station.toml:").startswith(told) for mistake in found), found


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ('line = "L3"', f'line = "{"x" * 65}"', f'2 line = "{"x" * 65}": has more than 64 characters; expected a name'),
        ('host = "127', 'user = ""\nhost = "127', '16 [mqtt] user = "": is empty; expected a name that the broker'),
        (f"{BOX}", "box = [0, 0, 9, 9, 9]", "12 [region.J4] box = [0, 0, 9, 9, 9]: has more than 4 values; expected"),
        ('line = "L3"', 'line = "L3"\nline = "L4"', "3: line stands twice; keep one"),
        ('line = "L3"', 'line = "L3"\nline = """\nL\n4"""', "5: line stands twice; keep one"),
        ("[region.J5]", "[region.J4]", "13: [region.J4] stands twice; keep one"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_its_field(tmp_path: Path, was: str, now: str, told: str) -> None:
    (found,) = mistakes(tmp_path, GOOD.replace(was, now))
    assert found.startswith(f"station.toml:{told}"), found


def test_lines_are_found_whatever_the_way_of_writing(tmp_path: Path) -> None:
    text = (
        'site = """\nplant\n-a"""  # over lines\n'
        + GOOD[GOOD.index("line =") : GOOD.index("[camera]")]
        + 'camera = { kind = "folder", path = "p", rate = 1.0 }\n\n# comment\n'
        + '[ region . "J 4" ]\nexpected = "A12"\nbox = [\n  0, 0,\n  1,\n]\n'
        + 'mqtt.host = "h"\n'
    )
    found = mistakes(tmp_path, text)
    assert any(m.startswith('station.toml:1 site = "plant\\n-a": holds the control') for m in found), found
    assert any(m.startswith("station.toml:8 [camera] rate = 1.0: unknown key") for m in found), found
    assert any(m.startswith("station.toml:13 [region.J 4] box = [0, 0, 1]: has too few") for m in found), found
    assert any(m.startswith("station.toml:17 [region.J 4.mqtt]: unknown key") for m in found), found
