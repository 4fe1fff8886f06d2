"""Checks of several adapters and weights in both engines, run like those of stream_inside.py, whose tools they use."""

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream_inside as tools  # type: ignore[import-not-found]

grid = tools.grid

from envpin_worker import requests, wire
from envpin_worker.runtime import device, loading, several

# (first, second, action on the embedding): what the second brings beside the first.
PAIRS = (
    ("patterns", "rslora", None),
    ("lora", "embedding", None),
    ("save-head", "lora", None),
    ("lora", "save-head", None),
    ("lora", "grown", {"action": "grow", "rows": 330}),
    ("loha", "loha", None),
)


class Two:
    """A base and two adapters for it, with another seed for the second."""

    def __init__(self, folder: str, first: str, second: str) -> None:
        self.folder = folder
        self.base = os.path.join(folder, "base")
        self.paths = [os.path.join(folder, name) for name in ("one", "two")]
        grid.make_base(self.base, "llama", torch.bfloat16, False, True)
        for number, (path, kind) in enumerate(zip(self.paths, (first, second), strict=True)):
            torch.manual_seed(number)
            known = grid.adapters("llama")
            grid.make_adapter(
                path, self.base, "llama", known["lora" if kind == "grown" else kind][0](), 330 if kind == "grown" else 0
            )
        self.second_grows = second == "grown"

    def request(self, out: str, weights: tuple[float, float] = (0.7, -0.5), **more: Any) -> dict[str, Any]:
        path = os.path.join(self.folder, out)
        os.makedirs(path, exist_ok=True)
        one, two = self.paths
        further = [{"adapter": two, "weight": weights[1]}]
        return {"base": self.base, "adapter": one, "weight": weights[0], "further": further, "out": path, **more}

    def one_after_the_other(self, request: dict[str, Any]) -> dict[str, Any]:
        """What peft itself computes: one merge, and the second into its result."""
        model = transformers.LlamaForCausalLM.from_pretrained(self.base, **grid.dtype_auto())
        for number, source in enumerate(several.sources(wire.decode(requests.StreamMergeRequest, request))):
            if self.second_grows and number == 1:
                model.resize_token_embeddings(330)
            model = loading.load_adapters(model, [source._replace(name="default")]).merge_and_unload()
        return {name: tensor for name, tensor in model.state_dict().items() if "inv_freq" not in name}


def for_engine_peft(request: dict[str, Any], answers: str) -> dict[str, Any]:
    body = {name: one for name, one in request.items() if name != "out"}
    return {**body, "staging": request["out"], "answers": answers}


def for_answers(request: dict[str, Any], scratch: str) -> dict[str, Any]:
    body = {name: one for name, one in request.items() if name != "out"}
    return {**body, "merged": request["out"], "scratch": scratch}


def pairs(folder: str) -> Iterator[tuple[str, Two, dict[str, Any]]]:
    # Loading a tiny model takes seconds in transformers 4.43, which is here for how its peft loads a second adapter.
    for first, second, embedding in PAIRS if int(transformers.__version__.split(".")[0]) >= 5 else PAIRS[:2]:
        here = os.path.join(folder, f"{first}-{second}")
        os.makedirs(here)
        yield f"{first} and {second}", Two(here, first, second), {"embedding": embedding} if embedding else {}
        shutil.rmtree(here)


def check_two_adapters_give_the_bits_of_merging_one_after_the_other(folder: str) -> None:
    for name, two, more in pairs(folder):
        request = two.request("out", **more)
        result = tools.verbs.answer("stream-merge", request, tools.Silent())
        wanted, found = two.one_after_the_other(request), tools.tensors(request["out"])
        assert set(wanted) == set(found), name
        differing = [key for key in wanted if not torch.equal(wanted[key].to(found[key].dtype), found[key])]
        assert not differing, (name, differing)
        used = {key for one in result["operations"] for key in one["adapter_tensors"]}
        held = set(tools.tensors(two.paths[0])) | {"2:" + key for key in tools.tensors(two.paths[1])}
        assert used | set(result["verification"]["adapter_tensors_repeated"]) == held, name
        assert result["verification"]["recomputed"]["worst"] <= 1.0, name


def check_the_engine_peft_gives_the_same_and_both_answer_as_the_adapters_do(folder: str) -> None:
    for name, two, more in pairs(folder):
        if name not in {"lora and embedding", "save-head and lora", "lora and grown"}:
            continue
        streamed, whole = two.request("streamed", **more), two.request("whole", **more)
        tools.verbs.answer("stream-merge", streamed, tools.Silent())
        answers = os.path.join(two.folder, "answers.safetensors")
        made = tools.verbs.answer("merge", for_engine_peft(whole, answers), tools.Silent())
        tools.same(tools.tensors(streamed["out"]), tools.tensors(whole["out"]))
        asked_of = {name: whole[name] for name in ("base", "adapter", "weight", "further")}
        made_as = {name: made[name] for name in ("architecture", "touched")}
        body = {**asked_of, "merged": whole["out"], "answers": answers, **made_as}
        judged = tools.verbs.answer("verify", body, tools.Silent())
        assert judged["recomputed"]["worst"] <= 1.0, name
        assert judged["recomputed"]["tensors"] > 0, name
        assert judged["probe"]["ratio"] < 0.05, (name, judged["probe"])
        for config in ("config.json",):
            shutil.copyfile(os.path.join(whole["out"], config), os.path.join(streamed["out"], config))
        asked = tools.verbs.answer("stream-answers", for_answers(streamed, two.folder), tools.Silent())
        assert asked["probe"]["ratio"] < 0.05, (name, asked["probe"])


def check_a_third_adapter_is_merged_as_the_second_is(folder: str) -> None:
    two = Two(folder, "lora", "embedding")
    third = os.path.join(folder, "three")
    torch.manual_seed(2)
    grid.make_adapter(third, two.base, "llama", grid.adapters("llama")["rslora"][0](), 0)
    streamed, whole = two.request("streamed"), two.request("whole")
    for request in (streamed, whole):
        request["further"].append({"adapter": third, "weight": 0.25})
    result = tools.verbs.answer("stream-merge", streamed, tools.Silent())
    wanted, found = two.one_after_the_other(streamed), tools.tensors(streamed["out"])
    assert set(wanted) == set(found)
    assert not [key for key in wanted if not torch.equal(wanted[key].to(found[key].dtype), found[key])]
    used = {key for one in result["operations"] for key in one["adapter_tensors"]}
    assert {key.partition(":")[0] for key in used if key[:1].isdigit()} == {"2", "3"}
    assert len([key for key in used if key.startswith("3:")]) == len(tools.tensors(third))
    assert result["verification"]["recomputed"]["worst"] <= 1.0
    tools.verbs.answer("merge", for_engine_peft(whole, os.path.join(folder, "answers.safetensors")), tools.Silent())
    tools.same(found, tools.tensors(whole["out"]))
    without = two.request("without")
    tools.verbs.answer("stream-merge", without, tools.Silent())
    assert any(not torch.equal(found[key], other) for key, other in tools.tensors(without["out"]).items())


def check_a_weight_is_a_factor_on_the_change(folder: str) -> None:
    two = Two(folder, "embedding", "lora")
    base = tools.tensors(two.base)
    found = {}
    for weight in (1.0, 2.0, -1.0):
        request = {"base": two.base, "adapter": two.paths[0], "weight": weight, "dtype": "fp32"}
        out = os.path.join(folder, f"at{weight}")
        os.makedirs(out)
        tools.verbs.answer("stream-merge", {**request, "out": out}, tools.Silent())
        found[weight] = tools.tensors(out)
    for name, tensor in base.items():
        change = found[1.0][name] - tensor.float()
        for weight in (2.0, -1.0):
            assert torch.allclose(found[weight][name] - tensor.float(), weight * change, atol=1e-6), (name, weight)
    changed = [name for name in base if not torch.equal(found[1.0][name], base[name].float())]
    assert "model.embed_tokens.weight" in changed, changed
    assert len(changed) == 15, changed


def check_a_wrong_weight_would_be_seen(folder: str) -> None:
    """The judge itself: the merge uses another weight than the verification."""
    two = Two(folder, "lora", "lora")
    request = two.request("out")
    run = tools.stream_layers.Merger.run

    def tampered(merger: Any, one: Any, sink: Any) -> None:
        """Its tensor is read back only once this has returned."""
        if one.pairs:
            one.unit.scaling["adapter_2"] *= 1.05
        try:
            run(merger, one, sink)
        finally:
            if one.pairs:
                one.unit.scaling["adapter_2"] /= 1.05

    tools.stream_layers.Merger.run = tampered
    try:
        tools.verbs.answer("stream-merge", request, tools.Silent())
    except tools.KnownError as error:
        assert error.kind == "verification-failed", error.kind
        assert "float64" in error.message, error.message
    else:
        raise AssertionError("not seen")
    finally:
        tools.stream_layers.Merger.run = run


def check_another_weight_does_not_resume_the_merge_of_the_first(folder: str) -> None:
    two = Two(folder, "lora", "lora")
    out = two.request("out")["out"]

    class Stopped(BaseException):  # a kill is no fault of the engine, which would fall back
        pass

    def stop(self: Any, entry: Any) -> None:
        add(self, entry)
        raise Stopped

    add, tools.stream_write.ShardJournal.add = tools.stream_write.ShardJournal.add, stop
    try:
        tools.verbs.answer("stream-merge", two.request("out"), tools.Silent())
    except Stopped:
        pass
    finally:
        tools.stream_write.ShardJournal.add = add
    assert [name for name in os.listdir(out) if name.endswith(".safetensors")]
    assert (
        tools.verbs.answer("stream-merge", two.request("out", (0.7, 0.5), resume=True), tools.Silent())["resumed"] == []
    )


def check_no_gpu_is_one_clear_error_before_anything_is_written(folder: str) -> None:
    if torch.cuda.is_available():
        return
    two = Two(folder, "lora", "lora")
    for verb in ("stream-merge", "merge"):
        request = two.request(verb)
        body = request if verb == "stream-merge" else for_engine_peft(request, "")
        try:
            tools.verbs.answer(verb, {**body, "device": "cuda"}, tools.Silent())
        except tools.KnownError as error:
            assert error.kind == "no-device", error.kind
            assert torch.__version__ in error.message, error.message
        else:
            raise AssertionError(verb)
        assert os.listdir(request["out"]) == []
    result = tools.verbs.answer("stream-merge", {**two.request("c"), "device": "auto"}, tools.Silent())
    assert result["device"]["kind"] == "cpu"
    assert "CUDA" in result["device"]["reason"] or "GPU" in result["device"]["reason"]
    assert device.choose("cpu", 10**12).kind == "cpu"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    tools.run_checks({name: one for name, one in globals().items() if name.startswith("check_")})
