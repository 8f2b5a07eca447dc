"""Every device file is right, and every number in it has a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import device, errors, tables
from edgepack.device import profile

FOLDER = Path(__file__).resolve().parents[2] / "devices"
WANTED = {
    "host", "rpi3", "rpi4", "rpi5", "rpi-zero-2w", "rpi-zero-2w-32", "android-arm64", "ios-arm64", "esp32s3",
    "cortex-m4-nrf52840", "cortex-m7-stm32h7", "rp2040", "ethos-u55-128", "ethos-u65-256",
}  # fmt: skip


def test_the_promised_devices_are_there() -> None:
    assert set(device.names()) >= WANTED


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_profile(path) -> None:
    loaded = device.load(path.stem)
    document = tables.read(path)
    backed = {key for source in loaded.source for key in source.for_keys}
    numbers = {
        key for key, value in document.items() if isinstance(value, int) and not isinstance(value, bool)
    } - {"edgepack", "threads"}
    assert numbers <= set(profile.NUMBERS), "a new number must be listed, so that its source is asked for"
    assert numbers <= backed, f"no source: {numbers - backed}"
    assert backed <= set(document), "a source for a key that is not there"
    assert path.read_text().startswith("# ")
    assert loaded.notes and all(len(note) < 120 for note in loaded.notes)
    if loaded.kind == "mcu":
        assert loaded.budget_bytes < loaded.flash_bytes and loaded.budget_ram_bytes <= loaded.ram_bytes
    if loaded.kind != "cpu":
        assert not loaded.float_allowed and loaded.dtypes[0] == "int8"
    described = device.describe(loaded)
    assert loaded.title in described and all(source.document in described for source in loaded.source)


def test_an_unknown_device_names_the_nearest() -> None:
    with pytest.raises(
        errors.DeviceError, match=r'device "esp32-s3" is unknown; did you mean "esp32s3"\?'
    ) as caught:
        device.load("esp32-s3")
    assert caught.value.exit_code == 69


def test_devices_beside_the_recipe_come_first(tmp_path) -> None:
    (tmp_path / "devices").mkdir()
    mine = (FOLDER / "rpi4.toml").read_text().replace('title = "Raspberry Pi 4 Model B"', 'title = "Mine"')
    (tmp_path / "devices" / "rpi4.toml").write_text(mine)
    (tmp_path / "devices" / "my-board.toml").write_text(mine.replace('name = "rpi4"', 'name = "my-board"'))
    assert device.load("rpi4", beside=tmp_path).title == "Mine"
    assert device.load("rpi4").title != "Mine"
    assert "my-board" in device.names(tmp_path) and "host" in device.names(tmp_path)
    assert device.load(str(tmp_path / "devices" / "my-board.toml")).name == "my-board"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("cores = 4", "core = 4", '"core": unknown key; did you mean "cores"?'),
        ('kind = "cpu"', 'kind = "gpu"', '"kind": "gpu" is unknown; did you mean "npu"?'),
        ('kind = "cpu"', 'kind = "mcu"', 'a device of kind "mcu" gets integer models only'),
        ('"cores", ', "", "cores: no [[source]] names the document the number is from"),
        ('"cores", ', '"coresx", ', '[[source]] 1 for_keys: "coresx" is no key of a profile'),
        ('url = "https', 'url = "ftp', '[[source]] 1: url: expected http(s)://…'),
        ('name = "rpi4"', 'name = "rpi44"', '"name" is "rpi44"; expected the name of the file, "rpi4"'),
        ("cores = 4", 'cores = 4\naccelerator = "x"', 'accelerator goes with kind = "npu"'),
        ("edgepack = 1", "edgepack = [", "not valid TOML"),
    ],
)  # fmt: skip
def test_complaints(old, new, complaint, tmp_path) -> None:
    text = (FOLDER / "rpi4.toml").read_text()
    assert old in text
    path = tmp_path / "rpi4.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(errors.RecipeError) as caught:
        device.load(str(path))
    assert str(caught.value).startswith(f"{path}: ") and complaint in str(caught.value)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(errors.DeviceError, match="no such device profile"):
        device.load("nowhere/x.toml")


def test_the_readme_names_every_key() -> None:
    text = (FOLDER / "README.md").read_text()
    shown = {"source": "[[source]]", "programmer": "[programmer]", "connection": "[connection]"}
    assert [key for key in profile.Device.model_fields if f"`{shown.get(key, key)}`" not in text] == []


def test_the_readme_names_every_key_of_a_connection() -> None:
    text = (FOLDER / "README.md").read_text()
    assert [key for key in device.Connection.model_fields if f"| `{key}` |" not in text] == []


def own(folder: Path, text: str) -> Path:
    (folder / "devices").mkdir(exist_ok=True)
    path = folder / "devices" / "kitchen.toml"
    path.write_text(text)
    return path


def test_a_device_like_another(tmp_path: Path) -> None:
    own(tmp_path, 'name = "kitchen"\nlike = "rpi4"\nthreads = 2\n[connection]\nhost = "pi@kitchen.local"\n')
    found, kind = device.load("kitchen", beside=tmp_path), device.load("rpi4")
    assert found.connection.host == "pi@kitchen.local" and found.connection.python == "python3"
    assert (found.threads, found.cpu, found.source) == (2, kind.cpu, kind.source)
    assert "pi@kitchen.local" in device.describe(found)
    assert "kitchen.local" not in str(found.to_json()), "packages do not tell where their devices are"


def test_profiles_in_a_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, 'name = "kitchen"\nlike = "rpi4"\n')
    monkeypatch.setenv("EDGEPACK_DEVICES", str(tmp_path / "devices"))
    assert "kitchen" in device.names() and device.load("kitchen").cores == 4
    monkeypatch.setenv("EDGEPACK_DEVICES", str(tmp_path / "none"))
    with pytest.raises(errors.DeviceError, match="no such folder"):
        device.names()


@pytest.mark.parametrize("text", ["rpi4@pi@pi.local", "rpi4@ssh://pi@pi.local:2222", "rpi4@fe80::1%eth0"])
def test_which_device_of_a_kind(text: str) -> None:
    assert device.load(text).connection.host == text.partition("@")[2]
    assert device.load(text).name == "rpi4"


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "pi@pi.local; reboot", "$(reboot)", "pi local", "a\nb"])
def test_a_host_is_no_option_and_no_shell_word(host: str) -> None:
    with pytest.raises(errors.RecipeError, match='"host"'):
        device.load("rpi4", host=host)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('name = "kitchen"\nlike = "rpi44"\n', "is unknown; did you mean"),
        ('name = "kitchen"\nlike = "kitchen"\n', '"like": expected the name of another device'),
        ('name = "kitchen"\nlike = 4\n', '"like": expected the name of another device'),
        ('name = "kitchen"\nlike = "rpi4"\n[connection]\npython = "python3; rm"\n', '"python"'),
        ('name = "kitchen"\nlike = "rpi4"\n[connection]\nhots = "x"\n', 'did you mean "host"'),
    ],
)  # fmt: skip
def test_complaints_about_ones_own(text: str, complaint: str, tmp_path: Path) -> None:
    own(tmp_path, text)
    with pytest.raises((errors.RecipeError, errors.DeviceError)) as caught:
        device.load("kitchen", beside=tmp_path)
    assert complaint in str(caught.value)
