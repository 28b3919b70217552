"""The techniques by name, as tables and figures call them.

Those of ZERO_SHOT take (model, questions, form), those of FEW_SHOT also demonstrations, which are
problems with their steps. Two need what the others do not, and are called by themselves:
`decomposition.least_to_most`, which is shown problems taken apart, and `auto_cot.auto_cot`, which
makes demonstrations for `few_shot_cot`.
"""

from collections.abc import Callable
from functools import partial

from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.chain_of_thought import few_shot_cot, zero_shot_cot
from adaptlab.prompting.techniques.contrastive import contrastive_cot
from adaptlab.prompting.techniques.decomposition import plan_and_solve
from adaptlab.prompting.techniques.direct import few_shot, zero_shot
from adaptlab.prompting.techniques.recall import analogical
from adaptlab.prompting.techniques.self_consistency import self_consistency

Technique = Callable[..., list[Solution]]

ZERO_SHOT: dict[str, Technique] = {
    "zero-shot": zero_shot,
    "zero-shot CoT": zero_shot_cot,
    "plan-and-solve": plan_and_solve,
    "plan-and-solve+": partial(plan_and_solve, plus=True),
    "analogical": analogical,
}
FEW_SHOT: dict[str, Technique] = {
    "few-shot": few_shot,
    "few-shot CoT": few_shot_cot,
    "contrastive CoT": contrastive_cot,
    "self-consistency": self_consistency,
}
TECHNIQUES: dict[str, Technique] = {**ZERO_SHOT, **FEW_SHOT}
