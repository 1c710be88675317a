"""`import tfvertical` is light, and every public name leads somewhere."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

import tfvertical

HEAVY = ("tensorflow", "keras", "keras_hub", "pandas", "sklearn", "matplotlib", "numpy", "pydantic", "typer")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_nothing_heavy_and_is_quick() -> None:
    code = f"""
import sys, time
start = time.process_time()  # not wall time: other tests share the machine
import tfvertical
took = time.process_time() - start
dir(tfvertical)
print(took, [name for name in {HEAVY} if name in sys.modules])
"""
    took, loaded = min((run(code).split(" ", 1) for _ in range(3)), key=lambda pair: float(pair[0]))
    assert loaded.strip() == "[]"
    assert float(took) < 0.3


@pytest.mark.parametrize("name", ["Stage", "Frozen", "GradualUnfreezing", "Examples", "errors"])
def test_light_names_load_no_tensorflow(name: str) -> None:
    assert run(f"import sys, tfvertical; tfvertical.{name}; print('tensorflow' in sys.modules)").strip() == "False"


def test_table_type_hints_and_all_agree() -> None:
    assert sorted(tfvertical._HOMES) == sorted(tfvertical.__all__)
    assert set(tfvertical.__all__) <= set(dir(tfvertical))


@pytest.mark.parametrize("name", tfvertical.__all__)
def test_every_public_name_leads_somewhere(name: str) -> None:
    value = getattr(tfvertical, name)
    module, _, attribute = tfvertical._HOMES[name].partition(":")
    assert importlib.util.find_spec(f"tfvertical.{module}") is not None
    assert (getattr(value, "__name__", name)).rpartition(".")[2] == (attribute or module)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="TextClasifier"):
        tfvertical.TextClasifier  # noqa: B018


def test_a_function_is_not_hidden_by_the_folder_of_its_name() -> None:
    code = "import tfvertical, tfvertical.export; print(callable(tfvertical.export))"
    assert run(code).strip() == "True"


def test_modules_that_the_documents_name_are_found_without_an_import_of_their_own() -> None:
    names = ["settings.Settings", "config.load", "bundle.verify", "jobs.train"]
    code = "import tfvertical as tv; print(all(map(callable, [{}])))".format(", ".join(f"tv.{name}" for name in names))
    assert run(code).strip() == "True"
    for name in ("nothing", "_nothing", "__wrapped__"):
        assert not hasattr(tfvertical, name)
