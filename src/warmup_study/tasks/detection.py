"""A one-stage detector of digits, with YOLO's anchors, boxes and losses (Redmon & Farhadi 2016, arXiv 1612.08242).

The canvas is a grid of cells; every cell has one predictor for each anchor. A digit is the business of one of them: in
the cell that holds its centre, the one whose anchor is most like it. With raw outputs t and s the logistic function, a
predictor of anchor (a, b) in the cell at (i, j) says

- a box with its centre at (i + s(t_x), j + s(t_y)) in cells, a exp(t_w) wide and b exp(t_h) high;
- the objectness s(t_o), how well that box fits something, and a softmax over the digits that there are.

The losses are those of Darknet's region layer, with the settings of its VOC detector: squared errors of s(t_x), s(t_y),
t_w and t_h, heavier for small digits; of the objectness, which is to tell the box's intersection over union (IoU) with
its digit, or 0 where there is none, unless the box happens to fit one well; and the cross-entropy of the label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from warmup_study.tasks import detection_data
from warmup_study.tasks.detection_data import CELL, GRID, LABELS, MOST, SIDE, Canvas, Family
from warmup_study.tasks.detection_map import Floats, mean_average_precision
from warmup_study.tasks.task import ScoreName, Split, Splits, Task

ANCHORS = 3
PREDICTORS = GRID * GRID * ANCHORS
OUTPUTS = 5 + LABELS  # of one predictor: t_x, t_y, t_w, t_h, t_o and a logit per class
NONE = -1.0  # the predictor of a digit that is not there
GOOD_FIT = 0.6  # a box that fits a digit so well is not told that there is nothing
OBJECT_SCALE = 5.0  # of the objectness where there is a digit; all other scales are 1
USUAL_DIGITS = 2.5  # losses are summed over a canvas and divided by this: about one digit's share


class Detector(nn.Module):
    """Every cell from its surroundings, 3x3 cells wide, by one network for all: [batch, SIDE²] -> [batch, P, OUTPUTS].

    That is a convolution of the canvas with kernels of 18x18 pixels at stride 6, and two of 1x1, written as linear
    layers, which ``vmap`` batches better. The P predictors are counted cell by cell, row by row.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear((3 * CELL) ** 2, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, ANCHORS * OUTPUTS),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Raw outputs t of every predictor."""
        padded = functional.pad(images.view(-1, SIDE, SIDE), (CELL, CELL, CELL, CELL))
        windows = padded.unfold(1, 3 * CELL, CELL).unfold(2, 3 * CELL, CELL)
        seen = self.network(windows.reshape(-1, GRID * GRID, (3 * CELL) ** 2))
        return seen.view(-1, PREDICTORS, OUTPUTS)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Losses:
    """The losses of outputs [B, P, OUTPUTS] against targets [B, MOST, 6], for anchors [ANCHORS, 2].

    A target is the number of a digit's predictor (``NONE`` where a canvas has fewer digits), the centre, width and
    height of its box, and its label. All lengths are shares of the canvas' side.
    """

    anchors: Tensor

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over canvases of the sum of all losses."""
        real, falls = _falls(outputs, targets)
        picked = falls @ outputs
        boxes, truths = self.decoded(outputs.detach()), targets[..., 1:5]  # Darknet takes what is told as given
        fit = overlap(falls @ boxes, truths)
        told = real * OBJECT_SCALE * (picked[..., 4].sigmoid() - fit).square() / 2
        elsewhere = overlap(boxes[:, :, None], truths[:, None])
        nothing = (1 - falls.sum(1)) * ((elsewhere * real[:, None]).amax(-1) <= GOOD_FIT)
        quiet = nothing * outputs[..., 4].sigmoid().square() / 2
        names = (targets[..., 5:] == torch.arange(LABELS, device=targets.device)).to(outputs.dtype)
        named = -real * (picked[..., 5:].log_softmax(-1) * names).sum(-1)
        return _mean(told) + _mean(quiet) + _mean(named) + self.box(outputs, targets)

    def box(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over canvases of the losses of the digits' boxes alone."""
        real, falls = _falls(outputs, targets)
        wanted = self._encoded(targets)
        said = _placed(falls @ outputs)
        heavier = 2 - targets[..., 3] * targets[..., 4]
        return _mean(real * heavier * (said - wanted).square().sum(-1) / 2)

    def pull(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over canvases of the pull to the anchors: squared errors of every predictor that has no digit.

        It is drawn to a box of its anchor's size in the middle of its cell. Darknet assigns the pull to every predictor
        and then, where there is a digit, overwrites it with the digit's own.
        """
        _, falls = _falls(outputs, targets)
        middle = torch.tensor([0.5, 0.5, 0.0, 0.0], device=outputs.device)
        return _mean((1 - falls.sum(1)) * (_placed(outputs) - middle).square().sum(-1) / 2)

    def misplaced(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 - IoU of the digits' boxes with what their predictors say, mean over digits."""
        real, falls = _falls(outputs, targets)
        fit = overlap(falls @ self.decoded(outputs), targets[..., 1:5])
        return 1 - (real * fit).sum() / real.sum()

    def decoded(self, outputs: Tensor) -> Tensor:
        """Centre, width and height that every predictor says: [B, P, 4]."""
        cells = torch.arange(GRID * GRID, device=outputs.device).repeat_interleave(ANCHORS)
        corner = torch.stack([cells % GRID, cells // GRID], dim=-1)
        centre = (corner + outputs[..., :2].sigmoid()) / GRID
        size = self.anchors.to(outputs).repeat(GRID * GRID, 1) * outputs[..., 2:4].exp()
        return torch.cat([centre, size], dim=-1)

    def _encoded(self, targets: Tensor) -> Tensor:
        """What the digits' predictors should place: [B, MOST, 4]."""
        anchor = self.anchors.to(targets)[(targets[..., 0].clamp(min=0) % ANCHORS).long()]
        centre = (targets[..., 1:3] * GRID).frac()
        return torch.cat([centre, (targets[..., 3:5] / anchor).log()], dim=-1)


def _falls(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Which digits are there [B, MOST], and which predictor each falls to, as zeros and ones [B, MOST, P]."""
    falls = targets[..., :1] == torch.arange(PREDICTORS, device=targets.device)
    return (targets[..., 0] != NONE).to(outputs.dtype), falls.to(outputs.dtype)


def _placed(outputs: Tensor) -> Tensor:
    """The four quantities that box losses compare: s(t_x), s(t_y), t_w, t_h."""
    return torch.cat([outputs[..., :2].sigmoid(), outputs[..., 2:4]], dim=-1)


def _mean(losses: Tensor) -> Tensor:
    """Losses [B, ...] summed over each canvas, mean over canvases, as a digit's share."""
    return losses.sum(1).mean() / USUAL_DIGITS


def overlap(left: Tensor, right: Tensor) -> Tensor:
    """Intersection over union of boxes [..., 4] given by centre and size; leading axes broadcast."""
    near = torch.maximum(left[..., :2] - left[..., 2:] / 2, right[..., :2] - right[..., 2:] / 2)
    far = torch.minimum(left[..., :2] + left[..., 2:] / 2, right[..., :2] + right[..., 2:] / 2)
    shared = _area((far - near).clamp(min=0))
    return shared / (_area(left[..., 2:]) + _area(right[..., 2:]) - shared)


def _area(sizes: Tensor) -> Tensor:
    return sizes[..., 0] * sizes[..., 1]


def plain() -> Task:
    """Digits small, tall or wide, on black."""
    return _task("detection", "detection of digits on a black canvas", Family(seed=1))


def strewn() -> Task:
    """Digits of any size and aspect among scraps of other digits."""
    return _task("detection-scraps", "detection of digits among scraps of others", Family(seed=2, scraps=6))


def _task(name: str, title: str, family: Family) -> Task:
    made = detection_data.canvases(family)
    sizes = np.vstack([canvas.boxes for canvas in made["train"]])[:, 2:]
    anchors = detection_data.anchors(sizes.astype(np.float32).astype(np.float64))  # as the targets hold them
    losses = Losses(torch.as_tensor(anchors, dtype=torch.float32))
    splits = _splits(made, anchors)

    def scores(outputs: NDArray[np.float32]) -> Mapping[ScoreName, float]:
        boxes, brightness = detections(outputs, anchors)
        truths = [(canvas.boxes, canvas.labels) for canvas in made["test"]]
        return {"mean_ap": mean_average_precision(boxes, brightness, truths)}

    return Task(
        name,
        title,
        Detector,
        splits,
        loss=losses.total,
        error=losses.misplaced,
        auxiliary=losses.pull,
        measures={"box_curve": losses.box, "pull_curve": losses.pull},
        scores=scores,
        sgd_lrs=(1e-1, 3.2e0),
        adaptive_lrs=(3.2e-3, 3.2e-2),
        batch=32,
        stack=32,
        compile_from_updates=60_000,
    )


def anchors_of(task: Task) -> Floats:
    """Widths and heights [ANCHORS, 2] of a detection task's anchors, as shares of the canvas' side."""
    targets = task.splits.train.targets
    return detection_data.anchors(targets[targets[..., 0] != NONE][:, 3:5].numpy().astype(np.float64))


def detections(outputs: NDArray[np.float32], anchors: Floats) -> tuple[Floats, Floats]:
    """Boxes [N, P, 4] and scores [N, P, LABELS] of raw outputs [N, P, OUTPUTS]: objectness times label's share."""
    raw = torch.as_tensor(outputs, dtype=torch.float64)
    boxes = Losses(torch.as_tensor(anchors)).decoded(raw)
    return boxes.numpy(), (raw[..., 4:5].sigmoid() * raw[..., 5:].softmax(-1)).numpy()


def _splits(made: Mapping[str, Sequence[Canvas]], anchors: Floats) -> Splits:
    """Inputs [N, SIDE²], standardised by the training split's mean and deviation, and targets [N, MOST, 6]."""
    images = {name: np.stack([canvas.image.ravel() for canvas in part]) for name, part in made.items()}
    mean, deviation = images["train"].mean(), images["train"].std()
    return Splits(
        *(
            Split(
                torch.as_tensor((images[name] - mean) / deviation, dtype=torch.float32),
                torch.as_tensor(np.stack([_target(canvas, anchors) for canvas in part]), dtype=torch.float32),
            )
            for name, part in made.items()
        )
    )


def _target(canvas: Canvas, anchors: Floats) -> Floats:
    """What `Losses` takes of one canvas, [MOST, 6]; digits that are not there have a box in the middle."""
    rows = np.tile([NONE, 0.5, 0.5, 0.5, 0.5, 0.0], (MOST, 1))
    likest = detection_data.shape_overlap(canvas.boxes[:, None, 2:], anchors).argmax(1)
    predictors = detection_data.cells(canvas.boxes) * ANCHORS + likest
    rows[: len(predictors)] = np.column_stack([predictors, canvas.boxes, canvas.labels])
    return rows
