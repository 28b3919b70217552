"""Budgets come from profiles.toml; a misspelt name says what is near."""

import pytest

from adaptlab import profiles, records, sources
from adaptlab.course.masters import masters
from adaptlab.errors import AdaptlabError


@pytest.mark.parametrize("profile", profiles.PROFILES)
@pytest.mark.parametrize("notebook", [path.stem for path in masters()])
def test_every_notebook_has_a_budget_in_every_profile(profile, notebook):
    budget = profiles.load(profile, notebook)
    assert budget["model"] == budget.model
    assert not set(budget) & set(profiles.PROFILES)


def test_every_notebook_names_sources_that_exist():
    for path in masters():
        assert set(profiles.sources(path.stem)) <= set(sources.catalogue())


def test_a_profile_overrides_what_holds_for_all(monkeypatch):
    table = {"00_x": {"sources": [], "seeds": [0], "n": 3, "full": {"seeds": [0, 1]}}}
    monkeypatch.setattr(profiles, "_tables", lambda: table)
    assert dict(profiles.load("cpu", "00_x")) == {"sources": [], "seeds": [0], "n": 3}
    assert profiles.load("full", "00_x").seeds == [0, 1]


def test_a_published_comparison_has_seeds_enough():
    for path in masters():
        assert len(profiles.load("full", path.stem).seeds) >= 3


def test_the_tour_s_rates_won_the_published_search():
    """The cpu profile may take one learning rate only because full chose it on dev."""
    tried = [r for r in records.published("full", "00_tour") if r.experiment == "learning rate"]
    for method, rates in (("LoRA", "lora_rates"), ("prompt tuning", "prompt_rates")):
        of_method = [r for r in tried if r.method.startswith(f"{method}, rate ")]
        assert len(of_method) == len(profiles.load("full", "00_tour")[rates])
        assert {r.split for r in of_method} == {"dev"}
        best = max(of_method, key=lambda r: r.score)
        assert [float(best.method.rpartition(" ")[2])] == profiles.load("cpu", "00_tour")[rates]


def test_the_depths_rates_won_the_published_search():
    """Likewise in notebook 08, for the depths that cpu does not search itself."""
    name, depth = "08_full_finetuning", 30
    tried = [r for r in records.published("full", name) if r.experiment == "learning rate"]
    full, cpu = (profiles.load(profile, name) for profile in ("full", "cpu"))
    for k, rates in zip(cpu.depths, cpu.rates, strict=True):
        method = {0: "head only", depth: "full fine-tuning"}.get(k, f"top {k}")
        of_depth = [r for r in tried if r.method.startswith(f"{method}, rate ")]
        assert len(of_depth) == len(full.rates[full.depths.index(k)])
        assert {r.split for r in of_depth} == {"dev"}
        best = max(of_depth, key=lambda r: r.score)  # of equals the first, as in the notebook
        won = [float(best.method.rpartition(" ")[2])]
        assert rates in (won, full.rates[full.depths.index(k)])


def test_lora_s_rates_won_the_published_search():
    """Likewise in notebook 10, by optimizer, method and subspace; notebook 11 takes LoRA's."""
    name = "10_lora"
    tried = [r for r in records.published("full", name) if r.split == "dev"]
    full, cpu = (profiles.load(profile, name) for profile in ("full", "cpu"))
    candidates = {f"{method}, rate": rates for method, rates in full.rates.items()}
    kept = {f"{method}, rate": rates for method, rates in cpu.rates.items()}
    candidates |= {
        f"d = {d}, rate": r for d, r in zip(full.dimensions, full.subspace_rates, strict=True)
    }
    pairs = zip(cpu.dimensions, cpu.subspace_rates, strict=True)
    kept |= {f"d = {d}, rate": rates for d, rates in pairs if d in full.dimensions}
    assert kept.keys() <= candidates.keys()
    for start, rates in kept.items():
        found = [r for r in tried if r.method.startswith(f"{start} ")]
        assert sorted(r.config["rate"] for r in found) == sorted(candidates[start])
        assert rates == [max(found, key=lambda r: r.score).config["rate"]], start
    assert profiles.load("cpu", "11_qlora").rates == cpu.rates["AdamW"]
    assert profiles.load("full", "11_qlora").rates == cpu.rates["AdamW"]


def test_the_qat_rates_won_the_published_search():
    """Likewise in notebook 11; there the lower loss on dev passages won."""
    name = "11_qlora"
    tried = [r for r in records.published("full", name) if r.experiment == "QAT rate"]
    full, cpu = (profiles.load(profile, name) for profile in ("full", "cpu"))
    for method, rates in cpu.qat_rates.items():
        found = [r for r in tried if r.method.startswith(f"{method}, rate ")]
        assert len(found) == len(full.qat_rates[method])
        best = min(found, key=lambda r: r.score)
        assert rates == [float(best.method.rpartition(" ")[2])], method


def test_unknown_names_are_one_line():
    with pytest.raises(AdaptlabError, match="unknown profile 'smok'; did you mean smoke"):
        profiles.load("smok", "00_tour")
    with pytest.raises(AdaptlabError, match="unknown notebook '00_tuor'; did you mean 00_tour"):
        profiles.load("cpu", "00_tuor")
    with pytest.raises(AdaptlabError, match="unknown setting of 00_tour/cpu"):
        _ = profiles.load("cpu", "00_tour").sedes
