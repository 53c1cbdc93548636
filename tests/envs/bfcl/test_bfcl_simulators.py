"""Calls to the simulators: results as the official executor words them, and nothing shared between episodes."""

import decimal

import bfcl_official
import mpmath
import pytest

from treeroll.envs.bfcl.calls import Call, read_call
from treeroll.envs.bfcl.entries import CATEGORIES, entries, find
from treeroll.envs.bfcl.simulators import Simulators

FILES = find("multi_turn_base_0")
FILES_AND_MATHS = find("multi_turn_base_15")
BANK = find("multi_turn_long_context_150")


def made(entry) -> Simulators:
    return Simulators(entry.classes, entry.config, long_context=entry.long_context)


def maths() -> Simulators:
    return Simulators(["MathAPI"], {}, long_context=False)


@pytest.mark.parametrize("category", CATEGORIES)
def test_results_of_the_ground_truth_are_the_official_executors(category: str) -> None:
    for entry in entries(category):
        calls = [source for turn in entry.truth for source in turn]
        ours = made(entry)
        assert [ours.call(read_call(source)) for source in calls] == bfcl_official.results(entry, calls), entry.id


@pytest.mark.parametrize(
    "source",
    [
        "nothing()",
        "cd()",
        "cd('a', 'b')",
        "cd(folder=3)",
        "cd(folder='document', name='x')",
        "_navigate_to_directory(path='x')",
        "mkdir(dir_name='new')",
        "tail(file_name='x', lines='many')",
        "ls('a')",
    ],
)
def test_errors_are_worded_as_the_official_executor_words_them(source: str) -> None:
    assert made(FILES).call(read_call(source)) == bfcl_official.results(FILES, [source])[0]


def test_results_by_hand() -> None:
    files = made(FILES)
    assert files.call(Call("pwd")) == '{"current_working_directory": "/workspace"}'
    assert files.call(Call("mkdir", ("new",))) == "None"
    assert files.call(Call("ls")) == '{"current_directory_content": ["document", "archive", "new"]}'
    assert files.call(Call("open", ("x",))) == "Error during execution: name 'open' is not defined"


def test_a_text_stays_as_it_was_written() -> None:
    files = made(FILES)
    assert files.call(Call("echo", ("call ls () twice",))) == '{"terminal_output": "call ls () twice"}'


@pytest.mark.parametrize(
    "source",
    [
        "power(base=9, exponent=9999999999)",
        "power(9, -9999999999)",
        "logarithm(value=2, base=3, precision=10000000000)",
        "logarithm(value=2, base=3, precision='10000000000')",
        "square_root(number=2, precision=10000000000)",
        f"square_root(number=2, precision={'9' * 400})",
        "round_number(number=5, decimal_places=-10000000000)",
    ],
)
def test_a_number_of_too_many_digits_is_refused(source: str) -> None:
    assert maths().call(read_call(source)) == "Error during execution: this takes more than 10000 digits"


@pytest.mark.parametrize(
    "source",
    [
        "power(base=2, exponent=10)",
        "power(base=2.5, exponent=3)",
        "power(base='a', exponent=3)",
        "power(base=2)",
        "power(base=10, exponent=5000)",
        "logarithm(value=100, base=10, precision=5)",
        "square_root(number=2, precision=30)",
        "square_root(number=2, precision='x')",
        "round_number(number=5.678, decimal_places=2)",
        "round_number(number=5.678)",
    ],
)
def test_mathematics_otherwise_is_the_official_one(source: str) -> None:
    assert maths().call(read_call(source)) == bfcl_official.results(FILES_AND_MATHS, [source])[0]


def test_a_call_leaves_the_process_as_it_was() -> None:
    before = (mpmath.mp.dps, decimal.getcontext().prec)
    ours = maths()
    ours.call(Call("logarithm", (2, 3, 40)))
    ours.call(Call("square_root", (2, 40)))
    assert (mpmath.mp.dps, decimal.getcontext().prec) == before


def test_half_a_surrogate_pair_can_be_written_to_a_file() -> None:
    files = made(FILES)
    files.call(Call("touch", ("\ud800",)))
    files.call(Call("mkdir", ("d",)))
    files.call(Call("cp", ("\ud800", "d")))
    assert files.call(Call("cp", ("\ud800", "d"))) == (
        "Error during execution: File '\\ud800' already exists in directory 'd'."
    )


def test_a_copy_goes_its_own_way_and_keeps_the_random_numbers() -> None:
    entry = next(entry for entry in entries("base") if entry.classes == ("VehicleControlAPI",))
    one = made(entry)
    one.call(Call("get_current_speed"))
    two = one.copy()
    heard = [one.call(Call("get_current_speed")) for _ in range(3)]
    assert len(set(heard)) == 3
    assert [two.call(Call("get_current_speed")) for _ in range(3)] == heard
    one.call(Call("set_navigation", ("Rome",)))
    assert two.instances["VehicleControlAPI"].destination != one.instances["VehicleControlAPI"].destination


def test_files_that_folders_share_stay_shared_in_a_copy() -> None:
    files = made(FILES)
    for source in ("cp('document', 'twin')", "cd('twin')", "echo('new', 'final_report.pdf')", "cd('..')"):
        files.call(read_call(source))
    copied = files.copy()
    for one in (files, copied):  # the simulator's copy of a folder holds the same files: what one has, the other has
        one.call(Call("cd", ("document",)))
        assert one.call(Call("cat", ("final_report.pdf",))) == '{"file_content": "new"}'


def test_episodes_share_nothing_that_the_package_keeps_in_its_modules() -> None:
    one, other = made(BANK), made(BANK)
    card = next(reversed(one.instances["TravelAPI"].credit_card_list))  # one that all long_context tasks have
    before = other.instances["TravelAPI"].credit_card_list[card]["balance"]
    one.instances["TravelAPI"].credit_card_list[card]["balance"] = before - 1
    assert other.instances["TravelAPI"].credit_card_list[card]["balance"] == before
    assert made(BANK).instances["TravelAPI"].credit_card_list[card]["balance"] == before


def test_a_scenario_is_not_changed_by_its_episodes() -> None:
    cards = BANK.config["TravelAPI"]["credit_card_list"]
    made(BANK)
    assert len(cards) < len(made(BANK).instances["TravelAPI"].credit_card_list)
    assert len(cards) == len(BANK.config["TravelAPI"]["credit_card_list"]) < 10
