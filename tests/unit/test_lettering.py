"""Words on pictures."""

from edge_runtime.lettering import in_the_way, places, shortened, shortened_all, width_of


def test_a_long_text_ends_with_an_ellipsis_and_fits_its_room() -> None:
    for text in ("J" * 64, "検品" * 32, "hollow-circle"):
        told = shortened(text, 17, 100)
        assert told.endswith("…")
        assert text.startswith(told[:-1])
        assert 80 < width_of(told, 17) <= 100
    assert shortened("J4", 17, 100) == "J4"


def test_of_several_texts_the_longest_give_way_and_the_short_stay() -> None:
    told = shortened_all(["J" * 64, "A12", "B" * 64], 17, 400)
    assert told[1] == "A12"
    assert told[0].endswith("…")
    assert told[2].endswith("…")
    assert 350 < sum(width_of(text, 17) for text in told) <= 400
    assert shortened_all(["J4", "A12"], 17, 400) == ["J4", "A12"]


def test_plates_lie_beside_their_boxes_within_the_picture_and_not_on_each_other() -> None:
    boxes = [(100, 200, 50, 50), (160, 200, 50, 50), (620, 0, 20, 20)]
    spots = places([(60, 20)] * 3, boxes, (640, 480))
    assert not in_the_way(spots, boxes)
    for x, y, w, h in spots:
        assert 0 <= x <= 640 - w
        assert 0 <= y <= 480 - h


def test_where_there_is_no_room_it_is_said() -> None:
    boxes = [(100 + 20 * n, 200, 15, 15) for n in range(6)]
    assert in_the_way(places([(120, 20)] * 6, boxes, (640, 480)), boxes)
    assert not in_the_way([(100, 180, 20, 20)], boxes[:1])


def test_a_name_may_lie_in_a_region_that_encloses_its_own_but_not_on_a_neighbour() -> None:
    whole, part, neighbour = (0, 0, 640, 480), (100, 200, 50, 50), (100, 150, 50, 45)
    plates = [(0, 0, 60, 20), (100, 180, 60, 20)]
    assert not in_the_way(plates, [whole, part])
    assert in_the_way(plates, [neighbour, part])
