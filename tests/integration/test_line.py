"""The daemon as its own process, on a real Mosquitto: from pictures to verdicts, through what happens to a line."""

import hashlib
import itertools
import os
import shutil
import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from edge_runtime.chain import GENESIS
from edge_runtime.verdict import Verdict
from export.signing import keygen, read_private, sign
from tests.integration.parts import Line, Message, Mosquitto, Subscriber, wait_until

SET_LABEL = "kenpin/plant-a/L3/cam-2/cmd/set-label"
DONE, TRY_AGAIN, MEND_FIRST = 0, 75, 78


def without_repeats(messages: list[Message]) -> list[bytes]:
    """Payloads as a consumer that de-duplicates by id sees them."""
    return list({Verdict.from_json(message.payload).id: message.payload for message in messages}.values())


def assert_chained(payloads: list[bytes]) -> None:
    """From seq 1 on, without a gap, each with the hash of the one before."""
    prev = GENESIS
    for seq, payload in enumerate(payloads, start=1):
        verdict = Verdict.from_json(payload)
        assert verdict.seq == seq, f"verdict {verdict.seq} came where {seq} was due"
        assert verdict.prev == prev, f"verdict {seq} is not chained to the one before"
        prev = hashlib.sha256(payload).hexdigest()


def waiting_in(line: Line) -> int:
    """How many verdicts the outbox holds."""
    with sqlite3.connect(line.folder / "state" / "outbox.db") as db:
        count = int(db.execute("SELECT count(*) FROM verdicts").fetchone()[0])
    db.close()
    return count


def test_every_picture_gives_one_verdict_in_order_and_chained(line: Line, subscriber: Subscriber) -> None:
    line.draw(40)
    assert line.start().wait(60) == DONE, line.log()
    wait_until(lambda: len(subscriber.verdicts()) == 40, "40 verdicts arrive")
    messages = subscriber.verdicts()
    assert_chained([message.payload for message in messages])
    verdicts = [Verdict.from_json(message.payload) for message in messages]
    assert [verdict.picture for verdict in verdicts] == [f"{n:04d}.png" for n in range(40)]
    assert {verdict.regions[0].expected for verdict in verdicts} == {"solid-circle"}
    assert {message.topic for message in messages} == {"kenpin/plant-a/L3/cam-2/verdict"}
    assert {message.properties.ContentType for message in messages} == {"application/json"}
    assert not any(message.retain for message in messages)
    assert waiting_in(line) == 0


def test_the_status_is_retained_and_tells_bundle_and_recipe(line: Line, broker: Mosquitto) -> None:
    line.draw(1)
    line.repeat = True
    line.start()
    subscriber = Subscriber(broker.port, "kenpin/+/+/+/status")
    wait_until(lambda: "inspecting" in subscriber.states(), "the station says that it inspects")
    late = Subscriber(broker.port, "kenpin/+/+/+/status")
    wait_until(lambda: late.messages, "the status is retained")
    status = late.messages[0].json()
    assert late.messages[0].retain
    assert status["schema"] == "kenpin.status/1"
    assert (status["site"], status["line"], status["station"]) == ("plant-a", "L3", "cam-2")
    assert status["recipe"] == {"J4": "solid-circle"}
    assert set(status["bundle"]) == {"name", "version", "sha256"}
    late.close()
    subscriber.close()


def test_the_status_reconciles_what_was_triggered_with_what_was_delivered(line: Line, broker: Mosquitto) -> None:
    line.draw(30)
    assert line.start().wait(60) == DONE, line.log()
    broker.stop()
    line.rate_hz = 100.0
    line.start().wait(60)  # nobody takes these
    broker.start()
    late = Subscriber(broker.port)
    line.start()
    wait_until(lambda: "stopped" in late.states(), "the third run ends")
    *_, last = (message.json() for message in late.messages if message.topic.endswith("/status"))
    ledger = last["ledger"]
    newest = Verdict.from_json(late.verdicts()[-1].payload)
    assert ledger["head"] == {"seq": 90, "hash": hashlib.sha256(late.verdicts()[-1].payload).hexdigest()}
    assert newest.seq == ledger["triggers"] == ledger["verdicts"] == ledger["acknowledged"] == 90
    assert (ledger["waiting"], ledger["shed"], ledger["balanced"]) == (0, 0, True)
    assert last["camera"] == {"frames": 30, "dropped": 0, "missed": 0, "reconnects": 0}
    late.close()


def test_a_label_set_by_command_is_answered_counts_at_once_and_survives_a_restart(
    line: Line, subscriber: Subscriber
) -> None:
    line.draw(2)
    line.repeat = True
    daemon = line.start()
    wait_until(subscriber.verdicts, "verdicts arrive")
    answer = subscriber.request(SET_LABEL, b'{"region":"J4","label":"hollow-circle"}', b"\x01\x02")
    assert answer.json() == {"ok": True, "region": "J4", "label": "hollow-circle", "was": "solid-circle"}
    assert answer.properties.CorrelationData == b"\x01\x02"

    def expected() -> list[str]:
        return [Verdict.from_json(message.payload).regions[0].expected for message in subscriber.verdicts()]

    wait_until(lambda: expected()[-1] == "hollow-circle", "verdicts expect the new label")
    assert [label for label, _ in itertools.groupby(expected())] == ["solid-circle", "hollow-circle"]
    wait_until(lambda: subscriber.messages[-1].topic.endswith("verdict"), "verdicts go on")
    status = [message.json() for message in subscriber.messages if message.topic.endswith("status")][-1]
    assert status["recipe"] == {"J4": "hollow-circle"}

    daemon.terminate()
    assert daemon.wait(30) == DONE
    seen = len(subscriber.verdicts())
    line.start()
    wait_until(lambda: len(subscriber.verdicts()) > seen, "verdicts arrive after the restart")
    assert expected()[-1] == "hollow-circle"
    assert "expects 'hollow-circle', as set over MQTT, not 'solid-circle'" in line.log()


@pytest.mark.parametrize(
    ("command", "payload", "told"),
    [
        ("set-label", b'{"label":"no-such"}', "unknown label 'no-such'; the bundle knows: hollow-circle, "),
        ("set-label", b'{"region":"J9","label":"hollow-circle"}', "unknown region 'J9'; this station has: J4"),
        ("set-label", b"{not json", 'expected {"region": "...", "label": "..."}'),
        ("set-lable", b"{}", "unknown command 'set-lable'; known: inspect, set-label"),
    ],
)
def test_a_command_that_cannot_be_obeyed_is_answered_and_changes_nothing(
    line: Line, subscriber: Subscriber, command: str, payload: bytes, told: str
) -> None:
    line.draw(2)
    line.repeat = True
    line.start()
    wait_until(subscriber.verdicts, "verdicts arrive")
    answer = subscriber.request(SET_LABEL.replace("set-label", command), payload, b"7")
    assert answer.json()["ok"] is False
    assert told in answer.json()["error"]
    assert answer.properties.CorrelationData == b"7"
    seen = len(subscriber.verdicts())
    wait_until(lambda: len(subscriber.verdicts()) > seen + 2, "inspection goes on")
    assert Verdict.from_json(subscriber.verdicts()[-1].payload).regions[0].expected == "solid-circle"


def test_the_will_says_offline_after_kill_nine(line: Line, subscriber: Subscriber) -> None:
    line.draw(1)
    line.repeat = True
    daemon = line.start()
    wait_until(lambda: subscriber.states()[-1:] == ["inspecting"], "the station says that it inspects")
    os.kill(daemon.pid, signal.SIGKILL)
    wait_until(lambda: subscriber.states()[-2:] == ["inspecting", "offline"], "the will says offline")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_end_says_stopped_after_the_last_verdict(
    line: Line, subscriber: Subscriber, number: signal.Signals
) -> None:
    line.draw(2)
    line.repeat = True
    daemon = line.start()
    wait_until(lambda: len(subscriber.verdicts()) > 5, "verdicts arrive")
    daemon.send_signal(number)
    assert daemon.wait(30) == DONE
    wait_until(lambda: subscriber.states()[-1] == "stopped", "the station says stopped")
    assert subscriber.messages[-1].topic.endswith("/status")
    assert_chained([message.payload for message in subscriber.verdicts()])
    assert waiting_in(line) == 0
    assert "Traceback" not in line.log()


def test_verdicts_wait_while_the_broker_is_away_and_arrive_when_it_is_there(line: Line, broker: Mosquitto) -> None:
    broker.stop()
    line.draw(30)
    daemon = line.start()
    wait_until(lambda: "cannot be reached" in line.log(), "the log tells of the broker's absence")
    broker.start()
    subscriber = Subscriber(broker.port)
    assert daemon.wait(60) == DONE, line.log()
    wait_until(lambda: len(subscriber.verdicts()) >= 30, "the verdicts arrive", 10)
    assert_chained(without_repeats(subscriber.verdicts()))
    assert line.log().count("cannot be reached") == 1, "one line an outage"
    subscriber.close()


def test_verdicts_in_flight_when_the_broker_dies_come_again_in_order_and_each_once(
    line: Line, broker: Mosquitto
) -> None:
    line.draw(120)
    daemon = line.start()
    before = Subscriber(broker.port)
    wait_until(lambda: len(before.verdicts()) > 5, "verdicts arrive")
    broker.freeze()
    wait_until(lambda: waiting_in(line) > 30, "more wait than fit in flight")
    broker.stop()
    before.close()
    broker.start()
    after = Subscriber(broker.port)
    assert daemon.wait(60) == DONE, line.log()
    wait_until(lambda: after.verdicts() and b"0119.png" in after.verdicts()[-1].payload, "the last verdict arrives")
    seen = [Verdict.from_json(message.payload).seq for message in after.verdicts()]
    assert seen == list(range(seen[0], 121)), "the new connection brings the rest in order, each once"
    assert_chained(without_repeats(before.verdicts() + after.verdicts()))
    after.close()


def test_kill_nine_with_verdicts_in_flight_loses_none(line: Line, broker: Mosquitto, subscriber: Subscriber) -> None:
    line.draw(200)
    line.rate_hz = 200.0
    daemon = line.start()
    wait_until(lambda: len(subscriber.verdicts()) > 20, "verdicts arrive")
    broker.freeze()
    wait_until(lambda: waiting_in(line) > 30, "more wait than fit in flight")
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    broker.thaw()
    assert line.start().wait(60) == DONE, line.log()
    wait_until(lambda: b"0199.png" in subscriber.verdicts()[-1].payload, "the second run's last verdict arrives")
    assert_chained(without_repeats(subscriber.verdicts()))
    assert waiting_in(line) == 0


def test_a_replay_whose_broker_never_came_says_so_in_one_line_and_the_next_run_delivers(
    line: Line, broker: Mosquitto
) -> None:
    broker.stop()
    line.draw(3)
    assert line.start().wait(60) == TRY_AGAIN
    (told,) = [text for text in line.log().splitlines() if text.startswith("kenpin-edge: ")]
    assert told.startswith(f"kenpin-edge: broker 127.0.0.1:{line.port}: cannot be reached; 3 wait in ")
    assert told.endswith("then run again and they are sent")
    assert waiting_in(line) == 3
    broker.start()
    subscriber = Subscriber(broker.port)
    assert line.start().wait(60) == DONE
    wait_until(lambda: len(subscriber.verdicts()) == 6, "all six verdicts arrive")
    assert_chained([message.payload for message in subscriber.verdicts()])
    subscriber.close()


def test_a_verdict_that_the_broker_refuses_is_not_taken_for_delivered(line: Line, broker: Mosquitto) -> None:
    broker.stop()
    broker.acl = "topic read #\ntopic write kenpin/+/+/+/status\n"
    broker.start()
    line.draw(3)
    assert line.start().wait(60) == TRY_AGAIN
    assert "the broker refused verdict 1 (Not authorized)" in line.log()
    assert "took no verdicts; 3 wait in" in line.log()
    assert waiting_in(line) == 3


def test_a_truncated_picture_is_an_error_and_the_line_goes_on(line: Line, subscriber: Subscriber) -> None:
    line.draw(3)
    damaged = line.pictures / "0001.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    assert line.start().wait(60) == DONE, line.log()
    wait_until(lambda: len(subscriber.verdicts()) == 3, "three verdicts arrive")
    first, second, third = (message.json() for message in subscriber.verdicts())
    assert (second["verdict"], second["regions"][0]["reason"]) == ("ERROR", "bad_image")
    assert "ERROR" not in (first["verdict"], third["verdict"])
    assert "Traceback" not in line.log()


def test_a_second_daemon_on_the_same_folder_is_refused_and_the_first_goes_on(
    line: Line, subscriber: Subscriber
) -> None:
    line.draw(2)
    line.repeat = True
    first = line.start()
    wait_until(subscriber.verdicts, "verdicts arrive")
    second = line.start()
    assert second.wait(60) == TRY_AGAIN
    assert f"is in use by another kenpin-edge (process {first.pid})" in line.log()
    assert first.poll() is None
    first.terminate()
    assert first.wait(30) == DONE


def test_a_port_where_no_broker_answers_stops_neither_inspection_nor_the_end(line: Line) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        line.port = mute.getsockname()[1]
        line.draw(2)
        assert line.start().wait(60) == TRY_AGAIN
    assert waiting_in(line) == 2
    assert "2 wait in" in line.log()


def test_the_log_of_a_clean_run_has_one_line_each(line: Line, subscriber: Subscriber) -> None:
    line.draw(2)
    assert line.start().wait(60) == DONE
    assert all(" INFO " in text for text in line.log().splitlines()), line.log()
    assert subscriber.states()[-1] == "stopped"


def test_a_station_that_trusts_a_key_inspects_with_what_it_signed_and_with_nothing_else(
    line: Line, subscriber: Subscriber
) -> None:
    line.draw(1)
    key, line.trusted_key, _ = keygen(line.folder / "plant")
    line.bundle = Path(shutil.copy(line.bundle, line.folder / "part.onnx"))
    assert line.start().wait(60) == MEND_FIRST
    (told,) = line.log().splitlines()
    assert told.startswith(f"kenpin-edge: {line.bundle}: is not signed: part.onnx.sig is missing beside it; ")
    assert subscriber.messages == []

    sign(line.bundle, read_private(key))
    assert line.start().wait(60) == DONE, line.log()
    assert line.log().count("part.onnx is signed by a trusted key") == 1
    wait_until(subscriber.verdicts, "a verdict arrives")

    line.bundle.write_bytes(line.bundle.read_bytes() + b"\0")
    assert line.start().wait(60) == MEND_FIRST
    assert "is not the file that the key" in line.log().splitlines()[-1]
    assert len(subscriber.verdicts()) == 1


def test_a_station_that_trusts_no_key_says_once_that_it_does_not_check(line: Line) -> None:
    line.draw(2)
    assert line.start().wait(60) == DONE
    assert line.log().count("is not checked for a signature: the station file names no trusted_keys") == 1
