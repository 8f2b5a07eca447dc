"""Everything that can be wrong in a recipe: the complaint names file, table and key, and the nearest valid name."""

from __future__ import annotations

import pytest

from edgepack import errors, recipe

PRUNE, SPARSITY = 'use = "prune"\nsparsity = 0.5', "sparsity = 0.5"
FACTORIZE = 'use = "factorize"\nenergy = 0.95'

CASES = {
    "stage typo": (
        'use = "prune"',
        'use = "prun"',
        '[[stage]] 1 "use": "prun" is unknown; did you mean "prune"?',
    ),
    "factorise": (
        '"factorize"',
        '"factorise"',
        '[[stage]] 3 "use": "factorise" is unknown; did you mean "factorize"?',
    ),
    "no use": ('use = "prune"\n', "", '[[stage]] 1 "use": is missing'),
    "too sparse": (SPARSITY, "sparsity = 1.5", '[[stage]] 1 "sparsity": expected less than 1; got 1.5'),
    "key typo": (SPARSITY, "sparsiti = 0.5", '[[stage]] 1 "sparsiti": unknown key; did you mean "sparsity"?'),
    "text for number": (
        SPARSITY,
        'sparsity = "half"',
        '[[stage]] 1 "sparsity": expected a number; got "half"',
    ),
    "boolean for number": (
        SPARSITY,
        "sparsity = true",
        '[[stage]] 1 "sparsity": expected a number; got true',
    ),
    "half a cluster": (
        "clusters = 16",
        "clusters = 16.5",
        '[[stage]] 2 "clusters": expected an integer; got 16.5',
    ),
    "one cluster": (
        "clusters = 16",
        "clusters = 1",
        '"clusters": expected greater than or equal to 2; got 1',
    ),
    "choice typo": (
        '"channel"',
        '"chanel"',
        '[[stage]] 2 "per": "chanel" is unknown; did you mean "channel"?',
    ),
    "two goals": (
        FACTORIZE,
        f"{FACTORIZE}\nrank = 3",
        "[[stage]] 3: give exactly one of keep, energy, ratio, rank, max_error; got energy, rank",
    ),
    "no goal": ("energy = 0.95", "", "[[stage]] 3: give exactly one of keep, energy, ratio, rank, max_error"),
    "no path": ('[model]\npath = "model.keras"', "[model]", '[model] "path": is missing'),
    "no model": ('[model]\npath = "model.keras"', "", '"model": is missing'),
    "no format": ("edgepack = 1\n", "", '"edgepack": is missing'),
    "other format": (
        "edgepack = 1",
        "edgepack = 2",
        '"edgepack": recipe format 2 is unknown; this edgepack reads format 1',
    ),
    "unsafe name": ('name = "digits"', 'name = "../x"', "\"name\": '../x' cannot name a file"),
    "no version": ('"1.0.0"', '"latest"', "\"version\": 'latest' is not a version"),
    "bad pin": (
        '"model.keras"',
        '"model.keras"\nsha256 = "12"',
        "[model] \"sha256\": expected 64 lowercase hex digits; got '12'",
    ),
    "bad custom": (
        '"model.keras"',
        '"model.keras"\ncustom = ["layers"]',
        '[model] "custom": expected "module:Class"; got \'layers\'',
    ),
    "scheme typo": ('"int8"', '"int9"', '[quantize] "scheme": "int9" is unknown; did you mean "int8"?'),
    "table typo": ("[budget]", "[budgets]", '[budgets]: unknown table; did you mean "budget"?'),
    "stages": (
        f"[[stage]]\n{PRUNE}",
        f"[[stages]]\n{PRUNE}",
        '[[stages]]: unknown table; did you mean "stage"?',
    ),
    "data typo": (
        "[data.calibration]",
        "[data.calib]",
        '[data.calib]: unknown key; did you mean "calibration"?',
    ),
    "source typo": (
        'inputs = "x"',
        'input = "x"',
        '[data.calibration] "input": unknown key; did you mean "inputs"?',
    ),
    "source type": (
        'inputs = "x"',
        "inputs = 3",
        '[data.calibration] "inputs": expected a string or a table; got 3',
    ),
    "preprocess typo": (
        "offset = 0.0",
        "ofset = 0.0",
        '[preprocess] "ofset": unknown key; did you mean "offset"?',
    ),
    "metric typo": ('"top1"', '"topp1"', 'name = "topp1" is unknown'),
    "k": ('"top1"', '"topk"', '[metric]: name = "topk" needs k'),
    "negative drop": (
        "max_drop = 0.005",
        "max_drop = -1",
        '[budget] "max_drop": expected greater than or equal to 0; got -1',
    ),
    "train typo": (
        FACTORIZE,
        f"{FACTORIZE}\ntrain = {{ epoch = 3 }}",
        '[[stage]] 3, [stage.train] "epoch": unknown key; did you mean "epochs"?',
    ),
    "train type": (FACTORIZE, f"{FACTORIZE}\ntrain = 3", '[[stage]] 3 "train": expected a table; got 3'),
    "class weights": (
        FACTORIZE,
        f"{FACTORIZE}\ntrain = {{ class_weights = 3 }}",
        "[[stage]] 3, [stage.train] \"class_weights\": expected 'balanced' or a table; got 3",
    ),
    "target typo": (
        SPARSITY,
        f'{SPARSITY}\n[[stage.target]]\nlayers = "x"\nsparsit = 0.3',
        '[[stage]] 1, [[stage.target]] 1 "sparsit": unknown key; did you mean "sparsity"?',
    ),
    "selector": (
        SPARSITY,
        f'{SPARSITY}\nlayers = {{ name = "x" }}',
        '[[stage]] 1, [stage.layers] "name": unknown key; did you mean "names"?',
    ),
    "top level key in a table": (
        SPARSITY,
        f"{SPARSITY}\nseed = 3",
        '[[stage]] 1 "seed": does not belong here: it stands at the top level of the file',
    ),
    "whole pattern": (SPARSITY, 'structure = "2:2"', '[[stage]] 1: structure = "2:2" leaves no weight'),
    "pattern and goal": (
        SPARSITY,
        f'{SPARSITY}\nstructure = "2:4"',
        'structure = "2:4" is a goal of its own; remove sparsity',
    ),
    "unknown pattern": (
        SPARSITY,
        f'{SPARSITY}\nstructure = "nm"',
        'structure = "nm": expected "unstructured", "block" or "m:n"',
    ),
    "global threshold": (
        SPARSITY,
        'threshold = 0.1\nscope = "global"',
        'threshold goes with scope = "layer"',
    ),
    "ramp backwards": (
        SPARSITY,
        f"{SPARSITY}\ninitial_sparsity = 0.6",
        "initial_sparsity = 0.6 is not below sparsity = 0.5",
    ),
    "rank list": ("energy = 0.95", "rank = [4, 4]", 'rank = [4, 4]: two ranks are for form = "tucker"'),
    "no student": (
        FACTORIZE,
        'use = "distill"',
        '[[stage]] 3: give either student = "model file" or width = 0.5',
    ),
    "nothing to train": (
        FACTORIZE,
        'use = "finetune"\ntrain = false',
        "[[stage]] 3: train = false and epochs = 0 leave nothing to do",
    ),
    "no calibration": (
        '[data.calibration]\npath = "calib.npz"\ninputs = "x"\nlabels = "y"\n',
        "",
        '[data.calibration]: is missing; scheme = "int8" needs samples',
    ),
    "no evaluation": (
        '[data.evaluation]\npath = "evaluation.npz"',
        "",
        "[data.evaluation]: is missing; nothing ships unmeasured",
    ),
    "no training": (
        '[data.training]\npath = "training.npz"',
        '[[stage]]\nuse = "finetune"',
        '[[stage]] 1 "finetune": needs [data.training]; the recipe has none',
    ),
    "class twice": (
        'name = "digits"',
        'name = "digits"\nlabels = ["a", "a"]',
        '"labels": a class name stands there twice',
    ),
    "not toml": (SPARSITY, "sparsity = = 0.5", "not valid TOML: Invalid value (at line 28, column 12)"),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, write) -> None:
    old, new, complaint = CASES[case]
    path = write({old: new})
    with pytest.raises(errors.RecipeError) as caught:
        recipe.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert complaint in message
    assert "pydantic" not in message and "Traceback" not in message


def test_every_complaint_is_told_at_once(write) -> None:
    path = write({"sparsity = 0.5": "sparsity = 2.0", "clusters = 16": "clusters = 0"})
    with pytest.raises(errors.RecipeError) as caught:
        recipe.load(path)
    assert [line.partition(": ")[2].partition('"')[0] for line in str(caught.value).splitlines()] == [
        "[[stage]] 1 ",
        "[[stage]] 2 ",
    ]


def test_files_that_are_no_recipes(tmp_path) -> None:
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * 1_000_001)
    binary = tmp_path / "model.toml"
    binary.write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + "[" * 5000 + "]" * 5000)
    for path, complaint in [
        (big, "1,000,001 bytes; at most 1,000,000 expected of a recipe"),
        (binary, "not text (byte 0 is not UTF-8)"),
        (tmp_path, "is a folder"),
        (deep, "not valid TOML: "),
    ]:
        with pytest.raises(errors.RecipeError) as caught:
            recipe.load(path)
        assert complaint in str(caught.value)


def test_an_unknown_recipe_names_the_nearest_shipped_one() -> None:
    with pytest.raises(errors.RecipeError, match=r'digit: no such recipe; .* did you mean "digits"'):
        recipe.load("digit")
    with pytest.raises(errors.RecipeError, match=r"nowhere/x\.toml: no such recipe"):
        recipe.load("nowhere/x.toml")
