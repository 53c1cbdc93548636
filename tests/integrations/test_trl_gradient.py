"""What TRL's optimizer does with a generation of trees, against the loss written by hand."""

import pytest
import torch
import trl_runs
from peft import LoraConfig, get_peft_model

from treeroll.integrations.trl import TreeGRPOTrainer

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)


@pytest.fixture
def steps(monkeypatch):
    """Weights before every optimizer step."""
    seen = []
    step = torch.optim.SGD.step

    def noted(self, *args, **named):
        seen.append([value.detach().clone() for group in self.param_groups for value in group["params"]])
        return step(self, *args, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    return seen


def put(model, values):
    with torch.no_grad():
        for own, value in zip((own for own in model.parameters() if own.requires_grad), values, strict=True):
            own.copy_(value)


def named(model, values):
    names = [name for name, own in model.named_parameters() if own.requires_grad]
    return dict(zip(names, values, strict=True))


def test_two_updates_on_the_same_trees_move_the_weights_by_minus_the_gradient(tmp_path, steps):
    trainer = trl_runs.trainer(TreeGRPOTrainer, tmp_path, num_iterations=2, max_steps=2)
    trainer.train()
    generation, model = trainer.generation, trainer.model.eval()
    assert sum(node.origin.kind == "continuation" for tree in generation.forest for node in tree.nodes) >= 2
    assert len(steps) == 2
    ends = [steps[1], list(trl_runs.weights(model).values())]
    for start, end in zip(steps, ends, strict=True):
        put(model, start)
        expected = trl_runs.gradient(model, generation)
        moved = {name: before - after for (name, before), after in zip(named(model, start).items(), end, strict=True)}
        assert max(value.abs().max().item() for value in expected.values()) > 1e-3
        assert trl_runs.farthest(moved, expected) < 1e-6


def test_an_update_on_half_a_generation_is_divided_by_half_its_tokens(tmp_path, steps):
    trainer = trl_runs.trainer(TreeGRPOTrainer, tmp_path, gradient_accumulation_steps=1, steps_per_generation=2)
    trainer.train()
    model, part = trainer.model.eval(), trainer._buffered_inputs[0]
    end = trl_runs.weights(model)
    put(model, steps[0])
    total = torch.zeros(())
    for row in range(8):
        prompt, completion = [
            part[f"{name}_ids"][row][part[f"{name}_mask"][row] == 1] for name in ("prompt", "completion")
        ]
        logits = model(input_ids=torch.cat([prompt, completion])[None]).logits[0, len(prompt) - 1 : -1]
        own = slice(None, len(completion))
        logprobs = torch.log_softmax(logits, dim=-1).gather(1, completion[:, None])[:, 0]
        ratio = (logprobs - part["old_per_token_logps"][row, own]).exp()
        total = total - (ratio * part["advantages"][row, own] * part["tool_mask"][row, own]).sum()
    (total / (part["num_items_in_batch"] / 2)).backward()
    expected = {name: value.grad for name, value in model.named_parameters()}
    moved = {name: before - end[name] for name, before in named(model, steps[0]).items()}
    assert max(value.abs().max().item() for value in expected.values()) > 1e-3
    assert trl_runs.farthest(moved, expected) < 1e-6


def test_lora_with_a_penalty_for_leaving_the_reference(tmp_path, steps):
    torch.manual_seed(0)
    base, _ = trl_runs.example.setup()
    model = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=True)
    )
    trainer = trl_runs.trainer(
        TreeGRPOTrainer, tmp_path, model=model, num_iterations=2, max_steps=2, beta=0.5, use_bias_correction_kl=False
    )
    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    trainer.train()
    model.eval()
    end = list(trl_runs.weights(model).values())
    put(model, steps[1])
    expected = trl_runs.gradient(model, trainer.generation, reference=model.disable_adapter, beta=0.5)
    moved = {name: before - after for (name, before), after in zip(named(model, steps[1]).items(), end, strict=True)}
    assert trl_runs.farthest(moved, expected) < 1e-6
    assert all(torch.equal(value, frozen[name]) for name, value in model.named_parameters() if not value.requires_grad)


def test_each_loss_has_its_divisor(tmp_path):
    trainer = trl_runs.trainer(TreeGRPOTrainer, tmp_path, gradient_accumulation_steps=1, per_device_train_batch_size=16)
    rows = [row for row in trl_runs.questions(4) for _ in range(4)]
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._generate_and_score_completions(rows)
    trainer.model.eval()
    for rule, divisor in (("dapo", None), ("dr_grpo", 16 * 96), ("cispo", None)):
        trainer.loss_type = rule
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, batch).backward()
        found = {name: value.grad.clone() for name, value in trainer.model.named_parameters()}
        expected = trl_runs.gradient(trainer.model, trainer.generation, rule=rule, divisor=divisor)
        assert trl_runs.farthest(found, expected) < 1e-6
