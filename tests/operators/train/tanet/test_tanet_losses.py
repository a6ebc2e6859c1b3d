"""The second stage's targets, and a student that equals its teacher."""

import pytest

torch = pytest.importorskip("torch")

from operators.nets.pointpillars import Heads  # noqa: E402
from operators.train.pointpillars.losses import detection_loss  # noqa: E402
from operators.train.pointpillars.trainer import BatchTargets  # noqa: E402
from operators.train.tanet.losses import binary_divergence, hard_losses, soft_loss, soft_losses  # noqa: E402
from operators.train.tanet.stages import against_coarse  # noqa: E402

ANCHORS, SCANS, CLASSES = 12, 2, 2


def heads(seed, grad=False, spread=1.0):
    random = torch.Generator().manual_seed(seed)
    shapes = ((SCANS, ANCHORS, CLASSES), (SCANS, ANCHORS, 7), (SCANS, ANCHORS, 2))
    return (
        Heads(*(spread * torch.randn(shape, generator=random) for shape in shapes))
        if not grad
        else Heads(*(torch.randn(shape, generator=random).requires_grad_() for shape in shapes))
    )


def targets(count=5):
    random = torch.Generator().manual_seed(9)
    labels = torch.zeros((SCANS, ANCHORS), dtype=torch.int8)
    at = torch.randperm(SCANS * ANCHORS, generator=random)[:count].sort().values
    labels.view(-1)[at] = 1
    return BatchTargets(labels, at, torch.randn(count, 7, generator=random), torch.zeros(count, dtype=torch.int64))


SIZES = torch.tensor([[4.0, 1.7]]).expand(ANCHORS, 2)


def test_without_a_second_stage_the_loss_is_that_of_pointpillars():
    first, second = hard_losses(heads(1), None, targets(), SIZES, 2.0)
    assert second == 0 and first.total == detection_loss(*heads(1), *targets()).total


def test_no_objects():
    first, second = hard_losses(heads(1), heads(2), targets(0), SIZES, 2.0)
    assert torch.isfinite(first.total) and torch.isfinite(second) and first.box == 0


def test_a_second_stage_that_mends_the_first_has_no_box_loss():
    wanted, coarse, refine = targets(), heads(1), heads(2)
    mend = refine.box_residuals.clone()
    at = wanted.at
    before = coarse.box_residuals.flatten(0, 1)[at]
    mend.view(-1, 7)[at] = against_coarse(wanted.residuals, before, SIZES[at % ANCHORS])
    perfect = refine._replace(box_residuals=mend)
    _, second = hard_losses(coarse, perfect, wanted, SIZES, 2.0)
    same = detection_loss(*perfect, *wanted._replace(residuals=mend.view(-1, 7)[at]))
    assert same.box == 0 and second == pytest.approx(2 * float(same.total))


def test_the_weight_and_the_constant_boxes_of_the_first_stage():
    coarse, refine = heads(1, grad=True), heads(2, grad=True)
    _, one = hard_losses(coarse, refine, targets(), SIZES, 1.0)
    _, three = hard_losses(coarse, refine, targets(), SIZES, 3.0)
    assert three.item() == pytest.approx(3 * one.item())
    one.backward()
    assert coarse.box_residuals.grad is None and refine.box_residuals.grad.any()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_equal_outputs_have_no_soft_loss(temperature):
    both, alone = (heads(1, spread=3), heads(2, spread=3)), (heads(1, spread=3), None)
    assert soft_losses(both, both, SIZES, 2.0, temperature).item() == 0
    assert soft_losses(alone, alone, SIZES, 2.0, temperature).item() == 0


@pytest.mark.parametrize("part", range(3))
def test_every_part_counts(part):
    teacher, student = heads(1), list(heads(1))
    student[part] = student[part] + 0.1
    assert soft_loss(Heads(*student), teacher, 1.0) > 0


def test_a_student_of_one_stage_learns_the_final_boxes():
    coarse, refine = heads(1), heads(2)
    from operators.train.tanet.stages import final

    assert soft_losses((final(coarse, refine, SIZES), None), (coarse, refine), SIZES, 2.0, 1.0).item() == 0
    assert soft_losses((coarse, None), (coarse, refine), SIZES, 2.0, 1.0).item() > 0


def test_a_teacher_that_is_sure_of_nothing_has_no_say_about_boxes():
    teacher = heads(1)._replace(class_logits=torch.full((SCANS, ANCHORS, CLASSES), -9.0))
    student = teacher._replace(box_residuals=teacher.box_residuals + 5, direction_logits=-teacher.direction_logits)
    assert soft_loss(student, teacher, 1.0).item() == 0


def test_divergence_by_hand():
    p, q = torch.tensor([0.8, 0.1, 0.5]), torch.tensor([0.6, 0.4, 0.5])
    expected = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum()
    assert binary_divergence(p.logit(), q.logit()).item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.isfinite(binary_divergence(torch.tensor([90.0, -90.0]), torch.tensor([-90.0, 90.0])))


def test_the_loss_pulls_the_student_to_the_teacher():
    teacher, student = heads(1), heads(2, grad=True)
    optimizer = torch.optim.Adam(list(student), lr=0.05)
    first = None
    for _ in range(200):
        loss = soft_loss(student, teacher, 2.0)
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * first
