"""The benchmarks run, in a tiny form, and their harness counts right; the figures are not looked at here."""

from __future__ import annotations

import argparse
import html
import re
import subprocess
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks import __main__ as every
from benchmarks import (
    distribution,
    faults,
    gradual,
    measured,
    parts,
    picture,
    processes,
    race,
    show,
    syscalls,
    verdicts,
    work,
)
from benchmarks.contenders import clock
from benchmarks.race import Contender, Outcome, Race, Row
from tfvertical import kernels

TOY = Race(
    "toy",
    "Who?",
    {"ours": Contender("Ours", "none:none"), "peer": Contender("Theirs", "none:none", peer=True)},
    (Row("peer", 2.0, tolerance=0.01), Row("peer", 5.0, measure="steady")),
    lambda smoke: {},
)


def outcomes(ours: list[float], peer: list[float], quality: float | None = 0.9) -> dict[str, list[Outcome]]:
    return {
        "ours": [Outcome({"seconds": each, "steady": each / 2}, 0.895, peak_bytes=2**20) for each in ours],
        "peer": [Outcome({"seconds": each, "steady": each}, quality, "2 of 10 epochs") for each in peer],
    }


def test_a_ratio_is_taken_within_its_round():
    verdict = verdicts.judge(TOY.rows[0], outcomes([1.0, 2.0, 4.0], [3.0, 6.0, 20.0]))
    assert verdict.ratios == (3.0, 3.0, 5.0)
    assert verdict.ratio == 3.0 and verdict.good and verdict.reached


def test_another_measure_than_the_seconds_in_all():
    assert verdicts.judge(TOY.rows[1], outcomes([1.0], [3.0])).ratios == (6.0,)


@pytest.mark.parametrize(("quality", "good"), [(0.905, True), (0.906, False), (None, None)])
def test_speed_counts_only_at_a_known_and_sufficient_quality(quality, good):
    verdict = verdicts.judge(TOY.rows[0], outcomes([1.0], [3.0], quality))
    assert verdict.good is good
    assert verdict.reached is bool(good)
    last = verdicts.table(TOY, outcomes([1.0], [3.0], quality))[-2]
    assert ("| yes |" in last) is bool(good)


def test_a_comparison_that_nothing_is_asked_of_is_told_and_not_judged():
    race = replace(TOY, rows=(*TOY.rows, Row("peer", None)))
    found = outcomes([1.0], [0.1])
    assert verdicts.table(race, found)[-1].endswith("| – |")
    lines = verdicts.closing(race, found)
    assert lines[-2].endswith("target=–") and not lines[-1].endswith("target=–")


def test_another_contender_s_quality_may_stand_for_the_peer_s():
    found = outcomes([1.0], [3.0], None) | {"other": [Outcome({"seconds": 9.0}, 0.9)]}
    assert verdicts.judge(Row("peer", 2.0, tolerance=0.01, quality_of="other"), found).good


def test_a_kept_quality_stands_in_for_a_run_that_was_cut_short():
    found = outcomes([1.0], [3.0], None)
    assert verdicts.judge(TOY.rows[0], found, {"peer": 0.9}).good
    assert any("0.9000 (kept)" in line for line in verdicts.table(TOY, found, {"peer": 0.9}))


def test_the_last_line_is_the_worst_row_relative_to_its_target():
    lines = verdicts.closing(TOY, outcomes([1.0, 1.0], [3.0, 4.0]))
    assert lines[0] == "toy[peer, seconds]: ratio=3.50  range=3.00–4.00  quality=0.8950/0.9000  target=2.00"
    assert lines[-1] == "toy: ratio=7.00  range=6.00–8.00  quality=0.8950/0.9000  target=5.00"
    slower = verdicts.closing(TOY, outcomes([1.0], [0.5]))
    assert slower[-1].startswith("toy: ratio=1.00")


def test_a_contender_that_did_not_run_is_said_so():
    found = outcomes([1.0], [3.0]) | {"peer": [Outcome(missing="needs `make bench-peers`")]}
    text = "\n".join(verdicts.table(TOY, found))
    assert "needs `make bench-peers`" in text and "not run" in text
    assert verdicts.closing(TOY, found) == ["toy: no row was run"]


def test_extension_leaves_the_compiling_steps_out():
    first = [0.0, 10.0, 15.0, 16.0, 17.0]
    assert clock.epoch_seconds(first, first=True) == pytest.approx(4.0)
    assert clock.rest_seconds([first], 3) == pytest.approx(8.0)
    assert clock.rest_seconds([first, [17.0, 18.0, 19.0]], 10) == pytest.approx(16.0)
    assert clock.rest_seconds([first], 1) == 0.0
    assert clock.part_of(2, 10) == "2 of 10 epochs" and clock.part_of(3, 3) == ""
    assert clock.planned({"whole": True}, 10, 2) == 10 and clock.planned({"whole": False}, 10, 2) == 2
    assert clock.figures(1.0, 0.5, "2 of 10 epochs")["quality"] is None


def test_contenders_take_turns(monkeypatch):
    calls = []

    def run(call, given, peer, expert):
        calls.append((call, given["whole"], peer, expert))
        return {"seconds": 1.0, "quality": 0.5, "rows": {"steady": 2.0}}

    monkeypatch.setattr(race.processes, "run", run)
    monkeypatch.setattr(race.processes, "missing", lambda peer, flags: "")
    contenders = {"ours": Contender("A", "a:a"), "peer": Contender("B", "b:b", True, expert=True)}
    toy = Race("toy", "Who?", contenders, (), lambda smoke: {})
    found = race.compete(toy, race.options(["--rounds", "2"]))
    assert calls == [("a:a", False, False, False), ("b:b", False, True, True)] * 2
    assert found["peer"][1].measures == {"seconds": 1.0, "steady": 2.0}
    found = race.compete(toy, race.options(["--rounds", "1", "--only", "ours"]))
    assert found["peer"][0].missing == "not asked for"


def test_a_section_is_renewed_and_the_others_stay():
    old = every.renewed("", "gradual", "## gradual\n\nfirst", "machine A")
    new = every.renewed(old, "quality", "## quality\n\nsecond", "machine B")
    assert new == "# Results\n\nmachine B\n\n## quality\n\nsecond\n\n## gradual\n\nfirst\n"
    assert every.renewed(new, "gradual", "## gradual\n\nthird", "machine B").endswith("## gradual\n\nthird\n")


def _ran(call, given, peer, expert):
    return {"seconds": 3.0 if peer else 1.0, "quality": 0.9, "rows": {"steady": 2.0}}


@pytest.fixture
def toy_race(monkeypatch, tmp_path):
    """`python -m benchmarks gradual` is a toy, of which nothing runs; its files stand in a folder of their own."""
    toy = replace(TOY, name="gradual")
    monkeypatch.setattr(gradual, "RACE", toy)
    monkeypatch.setattr(every, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(measured, "FOLDER", tmp_path / "measured")
    monkeypatch.setattr(show, "KEPT", tmp_path / "quality.json")
    monkeypatch.setattr(picture, "PICTURE", tmp_path / "performance.svg")
    monkeypatch.setattr(race.processes, "missing", lambda peer, flags: "")
    monkeypatch.setattr(race.processes, "run", _ran)
    return tmp_path


def test_what_a_race_measured_is_drawn_again_once_a_quality_is_known(toy_race, monkeypatch):
    def run(call, given, peer, expert):
        quality = 0.9 if given["whole"] or not peer else None
        return {"seconds": 3.0 if peer else 1.0, "quality": quality, "rows": {"steady": 2.0}}

    monkeypatch.setattr(race.processes, "run", run)
    assert every.main(["gradual", "--rounds", "2"]) == 0
    first = (toy_race / "RESULTS.md").read_text()
    assert "2 rounds." in first and "no: quality" in first
    show.main(gradual.RACE, ["--whole", "--rounds", "1", "--only", "peer"])
    assert every.main(["gradual", "--again"]) == 0
    second = (toy_race / "RESULTS.md").read_text()
    assert "0.9000 (kept)" in second and "no: quality" not in second
    assert [line for line in first.splitlines() if line not in second.splitlines()]  # those with a quality, only
    assert second.splitlines()[:7] == first.splitlines()[:7]
    assert every.main(["warm_head", "--again"]) == 1
    (toy_race / "RESULTS.md").write_text("")
    assert every.main(["--again"]) == 0  # all that were kept
    assert "0.9000 (kept)" in (toy_race / "RESULTS.md").read_text()


def test_a_race_that_is_cut_keeps_its_rounds(toy_race, monkeypatch):
    def run(call, given, peer, expert):
        if given["seed"] == 1:
            raise KeyboardInterrupt
        return {"seconds": 1.0, "quality": 0.5}

    monkeypatch.setattr(race.processes, "run", run)
    with pytest.raises(KeyboardInterrupt):
        every.main(["gradual", "--rounds", "2"])
    [found] = measured.every("gradual")
    assert found.rounds == 1 and found.outcomes["peer"][0].measures == {"seconds": 1.0}


def test_rounds_are_added_to_those_that_were_kept(toy_race, monkeypatch):
    seeds = []

    def run(call, given, peer, expert):
        seeds.append(given["seed"])
        return _ran(call, given, peer, expert)

    monkeypatch.setattr(race.processes, "run", run)
    monkeypatch.setattr(show, "commit", lambda: "one")
    assert every.main(["gradual", "--rounds", "2"]) == 0
    monkeypatch.setattr(show, "commit", lambda: "two")
    assert every.main(["gradual", "--rounds", "1", "--more"]) == 0
    assert seeds == [0, 0, 1, 1, 2, 2]
    text = (toy_race / "RESULTS.md").read_text()
    assert "commit one, two, 3 rounds." in text


def test_rounds_of_two_processors_stand_side_by_side(toy_race, monkeypatch):
    monkeypatch.setattr(show.machine, "processor", lambda: "A (1) with avx2")
    assert every.main(["gradual", "--rounds", "2"]) == 0
    monkeypatch.setattr(show.machine, "processor", lambda: "B")
    assert every.main(["gradual", "--rounds", "1", "--more"]) == 0
    first, _, second = (toy_race / "RESULTS.md").read_text().partition("Measured as well: ")
    assert "A (1) with avx2, commit" in first and "2 rounds." in first and "| contender |" in first
    assert "B, commit" in second and "1 round." in second and "    gradual[peer, seconds]: ratio=3.00" in second
    assert every.main(["gradual", "--rounds", "2", "--more"]) == 0
    first, _, second = (toy_race / "RESULTS.md").read_text().partition("Measured as well: ")
    assert "B, commit" in first and "3 rounds." in first and "A (1) with avx2, commit" in second
    assert {each.machine: each.rounds for each in measured.every("gradual")} == {"B": 3, "A (1) with avx2": 2}


def test_what_was_reached_is_drawn(toy_race):
    assert every.main(["gradual", "--rounds", "1"]) == 0
    drawn = picture.ratios((toy_race / "RESULTS.md").read_text())
    assert [(row.name, row.against, row.ratio, row.target) for row in drawn] == [
        ("gradual", "Theirs", 3.0, 2.0),
        ("gradual", "Theirs (steady)", 1.0, 5.0),
    ]
    assert all(row.comparable for row in drawn)
    content = (toy_race / "performance.svg").read_text()
    assert "<svg" in content and "Theirs (steady)" in content and "gradual" in content


def test_the_picture_is_of_the_results_that_stand_there():
    drawn = picture.ratios(every.RESULTS.read_text())
    assert len(drawn) > 15
    told = [html.unescape(each) for each in re.findall(r">([^<>]+)</text>", picture.PICTURE.read_text())]
    counted = Counter(told) - Counter(["1", "2", "5", "10", "20", "50", "100", "200", "500"])
    wanted = Counter(f"{row.ratio:.3g}" for row in drawn) + Counter(row.against for row in drawn)
    wanted += Counter(dict.fromkeys((row.name for row in drawn), 1))
    assert counted - wanted == Counter([next(each for each in told if each.startswith("times as long"))])
    assert not wanted - counted


def test_what_was_measured_of_other_contenders_is_left_out(toy_race, monkeypatch):
    monkeypatch.setattr(show.machine, "processor", lambda: "A")
    assert every.main(["gradual", "--rounds", "2"]) == 0
    only = {"ours": gradual.RACE.contenders["ours"], "new": gradual.RACE.contenders["peer"]}
    monkeypatch.setattr(
        gradual, "RACE", replace(gradual.RACE, contenders=only, rows=(Row("new", 2.0, tolerance=0.01),))
    )
    assert every.main(["gradual", "--again"]) == 1
    monkeypatch.setattr(show.machine, "processor", lambda: "B")
    assert every.main(["gradual", "--rounds", "1"]) == 0
    assert "Measured as well" not in (toy_race / "RESULTS.md").read_text()


def test_every_race_is_well_formed():
    import importlib

    for name in every.NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        for one in (module.RACE,) if hasattr(module, "RACE") else getattr(module, "RACES", ()):
            assert one.name.startswith(name) and (one.name == name or hasattr(module, "RACES"))
            assert {key for row in one.rows for key in (row.hero, row.peer)} <= set(one.contenders)
    assert show.section("toy", ["toy: ratio"], argparse.Namespace(rounds=1, smoke=False)).startswith("## toy\n")


@pytest.mark.real
@pytest.mark.shared
def test_a_race_runs_between_processes(shared_data, capsys):
    from benchmarks import cold_probe_text

    section, good = show.main(cold_probe_text.RACE, ["--smoke", "--rounds", "1", "--only", "ours"])
    assert good, section
    assert "tfvertical, `Frozen()`" in section


@pytest.mark.real
@pytest.mark.shared
def test_contenders_of_this_environment(shared_data):
    from benchmarks import sweep
    from benchmarks.contenders import keras_once, ours

    made = sweep.build(True) | {"whole": False}
    for contender in (ours.sweep, keras_once.heads):
        found = contender(made)
        assert found["seconds"] > 0 and 0 <= found["quality"] <= 1


@pytest.mark.real
@pytest.mark.shared
def test_entities_are_found_by_the_contender_of_this_environment(shared_data):
    from benchmarks import ner
    from benchmarks.contenders import ours_ner

    made = ner.build(True) | {"whole": False}
    for contender in (ours_ner.full, ours_ner.top):
        found = contender(made)
        assert 0 < found["rows"]["training"] < found["seconds"] and 0 <= found["quality"] <= 1


def test_a_few_tags_are_scored_as_seqeval_scores_them(capsys):
    from benchmarks import tags

    section, same = tags.main(["--smoke", "--rounds", "1"])
    assert same and "quality=1/1" in section


def test_the_strict_judge_of_entities():
    from benchmarks.contenders import strict

    assert strict.f1([["B-A", "I-A", "O"]], [["B-A", "I-A", "B-A"]]) == pytest.approx(2 / 3)
    assert strict.f1([["O"]], [["I-A"]]) == 0.0


def test_work_is_spread_over_labels():
    pairs = [(f"text {at}", f"label {at // 100}") for at in range(1000)]
    made = work._work({"train": pairs, "test": pairs}, smoke=True)
    assert len(made["train"]["items"]) == work.SMOKE[0] and len(made["test"]["items"]) == work.SMOKE[1]
    assert set(made["train"]["labels"]) == set(range(10))


@pytest.mark.real
@pytest.mark.shared
@pytest.mark.slow
def test_quality_runs(shared_data, capsys):
    from benchmarks import quality

    table = quality.main(("banking77_head",), seeds=(0,), smoke=True)
    assert re.search(r"^quality: ratio=0\.\d+  range=0\.0000  quality=0/1  target=1\.0000$", table, re.MULTILINE)


def test_only_experts_find_onednn_on(tmp_path, monkeypatch):
    monkeypatch.setenv(kernels.SWITCH, "1")  # as our own import leaves it
    assert kernels.SWITCH not in processes.environment(tmp_path / "home")
    seen = {}

    def started(command, env, **options):
        seen[command[3]] = env.get(kernels.SWITCH)
        return subprocess.CompletedProcess(command, 0, '{"seconds": 1.0, "quality": null}\n', "")

    monkeypatch.setattr(processes.subprocess, "run", started)
    for name, expert in (("plain:run", False), ("expert:run", True)):
        processes.run(name, {}, expert=expert)
    assert seen == {"plain:run": None, "expert:run": "1"}


@pytest.mark.real
@pytest.mark.shared
def test_runs_that_are_killed_end_as_if_they_had_not_been(shared_data, capsys):
    """Five runs on real weights, each killed twice, at other moments, and started again."""
    section, well = faults.main(["--smoke"])
    assert well, capsys.readouterr().err
    assert "faults: ratio=1.00" in section and "quality=5/5" in section


def test_replicas_and_workers_train_as_one_device_does_and_end_together():
    """In a short form: the whole one has every task and adaptation."""
    section, well = distribution.main(["--smoke"])
    assert well, section
    assert "distribution: ratio=1.00" in section and "quality=4/4" in section


def test_a_long_benchmark_that_is_cut_goes_on_where_it_was(tmp_path, monkeypatch):
    kept = parts.Parts(tmp_path / "parts.json", ["kills", "damage"])
    assert kept.begun("kills") == {} and kept.get("damage") is None
    kept.put("kills", {"rows": [1, 2]})
    assert parts.Parts(kept.path, kept.names).begun("kills") == {"rows": [1, 2]}
    monkeypatch.setattr(show, "commit", lambda: "another")
    later = parts.Parts(kept.path, kept.names)
    assert later.begun("kills") == {} and later.get("kills") == {"rows": [1, 2]}
    later.put("damage", {"trials": 500})
    assert later.joined("commit").endswith(", another") and later.joined("machine") == kept.joined("machine")


def test_faults_are_held_only_where_every_run_ended_alike(tmp_path):
    kept = parts.Parts(tmp_path / "parts.json", faults.PARTS)
    row = {"equal": True, "kills": 2, "from zero": 1, "lost": 0}
    spoilt = ({"equal": False}, {"lost": 1}, {"kills": 1})
    for rows, held in (([row, row], True), ([row], False), *(([row, row | each], False) for each in spoilt)):
        kept.put("kills", {"rows": rows})
        assert faults._told(kept, 2)[1] == held
    kept.put("kills", {"rows": [row, row]})
    kept.put("calls", {"rows": [["SIGKILL", 9, 8, 9]], "all": True})
    lines, held = faults._told(kept, 2)
    assert not held and "faults[SIGKILL at a call]: ratio=0.89  range=–  quality=8/9  target=1.00" in lines


@pytest.mark.skipif(not syscalls.there(), reason="strace is not installed, or may not trace")
def test_whatever_system_call_of_a_save_fails_a_whole_position_is_left(tmp_path):
    killed, full, broken = syscalls.outcomes(tmp_path, most=3)
    assert killed.spoilt == killed.trials >= 3, "each process was killed in its save"
    assert full.spoilt and broken.spoilt, "disks that are full or broken are noticed"
    assert all(each.whole == each.trials for each in (killed, full, broken))


def test_answers_are_scored_as_the_rules_say(capsys):
    from benchmarks import answers

    section, same = answers.main(["--smoke", "--rounds", "2"])
    assert same and section.startswith("## answers")
    assert capsys.readouterr().out.splitlines()[-1] == ("answers: ratio=1.00  range=–  quality=2004/2004  target=1.00")


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.real
def test_numbers_are_held_against_ridge_regression(capsys):
    from benchmarks import numbers

    section, _ = numbers.main(["--smoke", "--rounds", "1"])
    assert section.startswith("## numbers") and capsys.readouterr().out.splitlines()[-1].startswith("numbers: ratio=")
