"""Each code of the catalogue is provoked on real files or by a real run: by the tables, or by a test named here."""

from __future__ import annotations

from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.signatures.signature import load_signatures
from tests.support.failures import FAILURES
from tests.support.faults import CROSSED, FAULTS, FORWARD
from tests.support.places import ROOT
from tests.support.scripts import script

_LOGS = "tests/unit/diagnose/logs"
_CASES = "tests/unit/diagnose/test_check_cases.py"
_DECLARED = "tests/unit/diagnose/test_check_declared.py"
_REPEATS = "tests/unit/diagnose/test_determinism.py::test_a_run_with_one_fault_has_its_finding"
_BUILDS = "tests/integration/test_torch_builds.py"
# Codes whose test needs more than a table can say.
ELSEWHERE = {
    "vlm-key-rename": "tests/integration/test_real_pairs.py::test_vision_language_names_across_4_52",
    "base-changed-since-training": "tests/integration/test_real_pairs.py::test_a_base_whose_config_or_rows_changed",
    "base-weights-differ": "tests/e2e/test_replay_merge.py::test_an_exchanged_base_is_refused_from_a_manifest",
    "adapter-already-merged": "tests/e2e/test_replay_merge.py::test_the_output_is_whole",
    "duplicate-json-key": "tests/unit/core/test_json_input.py::test_every_command_reads_a_duplicate_key_in_one_way",
    "index-incomplete": "tests/unit/checkpoint/test_checkpoint.py::test_a_tensor_that_the_index_leaves_out_is_named",
    "foreign-format": f"{_CASES}::test_a_foreign_adapter_is_neither_corrupt_nor_incomplete",
    "tensors-not-of-method": f"{_CASES}::test_a_file_without_a_tensor_of_its_method_is_a_blocker",
    "adapter-tensors-missing": f"{_DECLARED}::test_what_the_config_promises_and_the_file_lacks_is_named",
    "method-shape-mismatch": f"{_CASES}::test_blocks_of_another_size_do_not_blame_the_base",
    "trained-weights-elsewhere": f"{_CASES}::test_trained_weights_outside_of_the_adapter_are_named",
    "layer-replication": f"{_CASES}::test_replicated_layers_are_refused_by_their_field",
    "base-change-lost": f"{_CASES}::test_what_replay_refuses_by_the_config_is_announced_in_its_words",
    "task-head": f"{_CASES}::test_a_trained_head_is_no_extra_tensor",
    "adapter-below": f"{_CASES}::test_an_adapter_below_whole_weights_is_noted_with_the_command_that_merges_it",
    "adapter-needs-older-peft": f"{_LOGS}/facts/test_arguments.py::test_the_release_is_named",
    "library-api-changed": f"{_LOGS}/facts/test_arguments.py::test_the_release_is_named",
    "method-cannot-merge": f"{_LOGS}/test_reader_known_wordings.py::test_a_wording_has_its_code",
    "shared-tensors": f"{_LOGS}/test_reader_cases.py::test_shared_tensors_are_a_tied_head_only_by_their_names",
    "serving-limit": f"{_LOGS}/test_reader_known_wordings.py::test_a_wording_has_its_code",
    "cuda-driver-too-old": f"{_BUILDS}::test_an_old_driver_and_two_cuda_majors_are_findings",
    "cuda-majors-mixed": f"{_BUILDS}::test_an_old_driver_and_two_cuda_majors_are_findings",
    "adapter-not-found": f"{_LOGS}/test_reader_real_errors.py::test_a_text_of_a_tracker",
    "package-missing": f"{_LOGS}/test_reader_real_errors.py::test_a_text_of_a_tracker",
    "target-module-unsupported": f"{_LOGS}/test_reader_real_errors.py::test_a_text_of_a_tracker",
    "foreign-merge-incomplete": f"{_LOGS}/test_reader_cases.py::test_a_case_gets_its_one_cause",
    "gpu-not-supported": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "devices-differ": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "nothing-requires-grad": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "distributed-run-failed": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "chat-template-missing": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "disk-full": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "data-not-as-expected": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "compiler-missing": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "loss-not-finite": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "process-start-refused": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "settings-refused": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "tokenizer-missing": f"{_LOGS}/test_reader_real_runs.py::test_a_real_run_has_its_cause",
    "model-of-another-kind": f"{_LOGS}/test_reader_real_runs.py::test_a_real_run_has_its_cause",
    "index-out-of-range": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "inputs-do-not-fit": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "installation-broken": f"{_LOGS}/test_reader.py::test_its_sample_is_recognised",
    "library-fault": f"{_LOGS}/ending/test_raised.py::test_what_stops_in_a_library_is_its_fault",
    "output-exists": "tests/e2e/test_replay_merge.py::test_the_output_is_whole",
    "adapter-before-seed": _REPEATS,
    "run-without-seed": _REPEATS,
    "loader-workers-unseeded": _REPEATS,
    "shuffled-by-global-generator": _REPEATS,
    "dataset-without-commit": _REPEATS,
    "data-without-digest": _REPEATS,
    "base-without-commit": _REPEATS,
    "kernels-not-deterministic": _REPEATS,
    "cublas-workspace-unset": _REPEATS,
    "cudnn-benchmark": _REPEATS,
    "tf32-in-use": _REPEATS,
    "flash-attention-backward": _REPEATS,
    "remote-code-in-training": _REPEATS,
    "editable-package": _REPEATS,
    "world-size-in-batch": _REPEATS,
    "resumed-without-generators": _REPEATS,
    "code-not-kept": _REPEATS,
}


def test_every_code_is_provoked_for_real() -> None:
    tables = {one.code for one in (*FAULTS, *CROSSED, *FORWARD)} | {one.code for one in FAILURES}
    assert tables | ELSEWHERE.keys() == load_catalogue().keys()
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_what_only_logs_show_has_a_signature_and_a_run() -> None:
    by_files = {one.code for one in (*FAULTS, *CROSSED, *FORWARD)} | ELSEWHERE.keys()
    for code in load_catalogue().keys() - by_files:
        assert code in {one.code for one in FAILURES}
        assert code in {one.code for one in load_signatures()}


def test_the_page_of_reactions_is_fresh() -> None:
    reactions = script("scripts/reactions.py")
    assert reactions.PAGE.read_text(encoding="utf-8") == reactions.page(), "run: python scripts/reactions.py --write"
