import subprocess
import sys

import treeroll

HEAVY = ("torch", "transformers", "tokenizers", "pydantic", "rich", "bm25s", "jinja2", "matplotlib")


def loaded_after(code: str) -> set[str]:
    """Returns which heavy packages a fresh interpreter holds after `code`."""
    report = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_the_library_needs_numpy_only():
    assert loaded_after("import treeroll") == set()


def test_worlds_and_methods_are_listed_without_the_train_extra():
    assert loaded_after("import treeroll.envs, treeroll.cli; treeroll.cli.main(['methods'])") == set()


def test_the_report_never_loads_torch():
    assert "torch" not in loaded_after("import treeroll.report")


def test_options_are_checked_without_torch():
    assert loaded_after("from treeroll.config import Config; Config.resolve(['steps=3'])") == {"pydantic"}


def test_every_name_at_the_door_is_there():
    assert sorted(treeroll.__all__) == sorted(set(treeroll.__all__))
    assert all(hasattr(treeroll, name) for name in treeroll.__all__)


def test_the_door_does_what_the_first_lines_of_the_documentation_do():
    counts = treeroll.allocate_roots([0.0, 0.5, 1.0], budget=4)
    assert counts.tolist() == [0, 4, 0]
    assert treeroll.expand_prefixes([0.9, 0.1], budget=1).tolist() == [0, 1]
