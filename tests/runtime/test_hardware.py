"""The fingerprint of hardware: equal if the bits are equal, different if they may differ."""

from pipeline.runtime import hardware

X86 = (
    "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: EPYC\n"
    "flags\t\t: fpu smep avx2 {} fma\n"
)


def kind(monkeypatch, tmp_path, text, gpus=()):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    return hardware.kind(gpus)


def test_fingerprint_depends_on_vector_instructions_but_not_on_name_or_number_of_processors(monkeypatch, tmp_path):
    one = kind(monkeypatch, tmp_path, X86.format("avx512f"))
    assert one["vectors"] == "avx2 avx512f fma" and one["make"]["model"] == "2"
    renamed = X86.format("avx512f").replace("EPYC", "virtual") + "\n" + X86.format("avx512f")
    assert kind(monkeypatch, tmp_path, renamed) == one
    other = kind(monkeypatch, tmp_path, X86.format("sse2"))
    assert hardware.fingerprint(other) != hardware.fingerprint(one)


def test_fingerprint_depends_on_the_gpus(monkeypatch, tmp_path):
    gpus = [{"device_name": "NVIDIA H200", "compute_capability": (9, 0), "name": "/physical_device:GPU:0"}]
    found = kind(monkeypatch, tmp_path, X86, gpus)
    assert found["gpus"] == [["NVIDIA H200", [9, 0]]]


def test_machine_without_information_has_a_fingerprint(monkeypatch, tmp_path):
    assert len(hardware.fingerprint(kind(monkeypatch, tmp_path, ""))) == 16
