"""Labels of torch, the CUDA that they name, and the drivers that it needs."""

from __future__ import annotations

import pytest

from envpin.core.errors import UsageError
from envpin.core.sizes import parse_size, size_words
from envpin.core.torch_builds import backend_of, checked_backend, cuda_of, is_older, oldest_driver, rocm_of


@pytest.mark.parametrize(
    ("label", "backend", "cuda", "rocm"),
    [
        ("cpu", "cpu", None, None),
        ("cpu.cxx11.abi", "cpu", None, None),
        ("cu92", "cu92", "9.2", None),
        ("cu121", "cu121", "12.1", None),
        ("cu130", "cu130", "13.0", None),
        ("rocm6.2", "rocm6.2", None, "6.2"),
        ("rocm6.2.4", "rocm6.2.4", None, "6.2.4"),
        ("xpu", "xpu", None, None),
    ],
)
def test_a_label_names_its_backend(label: str, backend: str, cuda: str | None, rocm: str | None) -> None:
    assert backend_of(label) == backend
    assert (cuda_of(backend), rocm_of(backend)) == (cuda, rocm)
    assert checked_backend(backend) == backend


@pytest.mark.parametrize("label", ["git1a2b3c", "cu", "cuda121", "cpux", "rocm", "", None])
def test_other_labels_name_no_backend(label: str | None) -> None:
    assert backend_of(label) is None
    with pytest.raises(UsageError):
        checked_backend(label or "")


@pytest.mark.parametrize(
    ("cuda", "oldest", "too_old", "new_enough"),
    [
        ("13.0", "580", "575.64.03", "580.65.06"),
        ("12.1", "525.60.13", "525.60.12", "525.60.13"),
        ("11.8", "450.80.02", "450.80.1", "450.80.02"),
        ("10.2", "440.33", "440.32", "440.33.01"),
    ],
)
def test_a_cuda_needs_its_driver(cuda: str, oldest: str, too_old: str, new_enough: str) -> None:
    assert oldest_driver(cuda) == oldest
    assert is_older(too_old, oldest)
    assert not is_older(new_enough, oldest)
    assert oldest_driver("99.0") is None


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (213_400_000, "213 MB"), (999_600_000, "1.0 GB"),
     (2_900_000_000, "2.9 GB"), (12_000_000_000_000, "12 TB")],
)  # fmt: skip
def test_sizes_have_three_digits_at_most(count: int, words: str) -> None:
    assert size_words(count) == words


def test_sizes_are_read_in_powers_of_1000_and_1024() -> None:
    assert [parse_size(one) for one in ("5GB", "5 GiB", "500mb", "7", "1.5kB")] == [
        5 * 10**9, 5 * 2**30, 500 * 10**6, 7, 1500,
    ]  # fmt: skip
    for text in ("", "GB", "0", "0GB", "-1GB", "5 XB", "5GB more"):
        with pytest.raises(UsageError):
            parse_size(text)
