"""A bench with known truth: small tasks whose values and policy gradients are exact, and pools of them to train on.

| file | what |
|---|---|
| `mdp.py` | one task: exact values, exact gradients, sampling |
| `examples.py` | the small tasks of `estimators.py` |
| `forests.py` | real `RolloutTree`s of a task, sampled or enumerated |
| `critics.py` | predictors that know the truth, or the truth and an error |
| `plans.py` | which prefixes get continuations: fixed by outcome, or by the allocators |
| `backups.py` | ways to tell a node's value, and their errors |
| `biases.py` | two biases of METHOD 5, exactly |
| `measure.py` | gradients that credit gives, their bias, variance and standard errors |
| `worlds.py` | the pools of tasks of `study.py`, with exact values |
| `rollouts.py` | rollouts of a pool as arrays, and credit on arrays |
| `rollout_trees.py` | the same rollouts as `RolloutTree`s |
| `spending.py` | ways to spend continuations |
| `training.py` | training on a pool |
| `prose.py` | paragraphs of the markdown pages |
"""
