from dragoman.evaluation.sweep import Setting, Sweep
from dragoman.reports.sweep import lines_of, sweep_report


def outcome(knobs):
    settings = [Setting(one, {"bleu": 10.0 + n, "chrf": 1.0}, 1.0, 5.0) for n, one in enumerate(knobs)]
    return Sweep("runs/<b>", "600", "validation", 12, "bleu", settings, len(knobs) - 1, 0.01, is_on_test=True)


def test_each_setting_of_the_other_knobs_is_a_line_along_the_last_number():
    found = outcome([{"beam": beam, "length_penalty": x, "penalty": "gnmt"} for beam in (1, 4) for x in (1.0, 0.5)])
    assert [(line.name, line.points) for line in lines_of(found)] == [
        ("beam 1, penalty gnmt", [(0.5, 11.0), (1.0, 10.0)]),
        ("beam 4, penalty gnmt", [(0.5, 13.0), (1.0, 12.0)]),
    ]
    page = sweep_report(found)
    assert "<svg" in page
    assert "runs/&lt;b&gt;" in page
    assert "chosen on a test set" in page
    best = page.partition('<tr class="best">')[2].partition("</tr>")[0]
    assert '<td class="number" data-label="BLEU">13.00</td>' in best
    assert page.count("the run's own<") == 1


def test_knobs_without_numbers_have_a_table_only():
    page = sweep_report(outcome([{"penalty": "gnmt"}, {"penalty": "power"}]))
    assert "<svg" not in page
    assert ">power</td>" in page.partition('<tr class="best">')[2].partition("</tr>")[0]
