"""Every profile of notebook 04 asks for problems that its kinds can give."""

import pytest

from adaptlab import profiles
from adaptlab.prompting.techniques import examples
from adaptlab.tasks import reasoning


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_each_kind_has_the_problems_that_a_profile_asks_for(profile):
    budget = profiles.load(profile, "04_reasoning")
    for name, hard in budget.suite.items():
        task = reasoning.load(name, **hard)
        assert len(task.problems("test", budget.questions)) == budget.questions
        assert len(task.problems("dev", budget.dev_items)) == budget.dev_items
        longer = reasoning.load(name, **budget.longer[name])
        for seed in budget.seeds:
            pool = task.problems("train", budget.pool, seed=seed)
            assert len(pool[: budget.auto_pool]) == budget.auto_pool >= budget.clusters
            harder = longer.problems("train", budget.pool, seed=seed)
            for k in budget.shots:
                assert len(examples.balanced(pool, k, seed)) == k
                shown = examples.most_complex(harder, k)
                most = max(len(problem.steps) for problem in pool)
                assert len(shown[0].steps) > most, f"{name}: the longer ones are no longer"


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_gsm8k_has_the_problems_that_a_profile_asks_for(profile):
    budget, school = profiles.load(profile, "04_reasoning"), reasoning.load("gsm8k")
    assert len(school.problems("test", budget.gsm8k_items)) == budget.gsm8k_items
    for seed in budget.seeds:
        pool = school.problems("train", budget.pool, seed=seed)
        assert len(examples.at_random(pool, budget.gsm8k_shots, seed)) == budget.gsm8k_shots
