"""How good detections are: mean average precision by pycocotools, the reference code of the COCO benchmark."""

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from warmup_study.tasks.detection_data import overlap

Floats = NDArray[np.float64]

FAINTEST = 0.01  # detections of a lower score do not count
BRIGHTEST = 20  # detections that count on one image, before doubles are dropped: many times the digits there are
SAME = 0.5  # of two boxes of one label that overlap by more than this, the fainter is dropped
HIT = 0.5  # least intersection over union of a detection with the box that it finds: the 0.5 of mAP@0.5


def mean_average_precision(boxes: Floats, scores: Floats, truths: list[tuple[Floats, NDArray[np.int64]]]) -> float:
    """Mean over labels of the average precision at an intersection over union of ``HIT`` (COCO's "AP50").

    ``boxes`` [N, P, 4] are the detections on N images by centre and size, ``scores`` [N, P, C] theirs for each label,
    ``truths`` per image the real boxes [k, 4] and labels [k]. 0 where there are no detections at all.
    """
    order = np.argsort(-scores.max(-1), axis=1, kind="stable")[:, :BRIGHTEST, None]
    boxes, scores = (np.take_along_axis(values, order, 1) for values in (boxes, scores))
    best, labels = scores.max(-1), scores.argmax(-1)
    kept = _distinct(boxes, labels) & (best >= FAINTEST) & np.isfinite(boxes).all(-1)
    image = np.nonzero(kept)[0]
    if not image.size:
        return 0.0
    found = np.column_stack([image, *_corner_and_size(boxes[kept]).T, best[kept], labels[kept]])
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports every step of its work
        reference = _reference(truths, scores.shape[-1])
        judge = COCOeval(reference, reference.loadRes(found), "bbox")
        judge.params.iouThrs, judge.params.areaRng, judge.params.areaRngLbl = np.array([HIT]), [[0, 1e9]], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][0, :, :, 0, -1]  # recalls by labels, with up to 100 detections an image
    return float(precision[:, (precision > -1).all(0)].mean())


def _distinct(boxes: Floats, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which detections [N, P], the brightest first, stay: those that no brighter one of their label covers."""
    covers = (overlap(boxes[:, :, None], boxes[:, None]) > SAME) & (labels[:, :, None] == labels[:, None])
    stays = np.ones(labels.shape, dtype=bool)
    for rank in range(labels.shape[1]):
        stays[:, rank + 1 :] &= ~(stays[:, rank, None] & covers[:, rank, rank + 1 :])
    return stays


def _reference(truths: list[tuple[Floats, NDArray[np.int64]]], labels: int) -> COCO:
    """The real boxes in COCO's form."""
    rows: list[dict[str, Any]] = [
        {"image_id": image, "category_id": int(label), "bbox": box.tolist(), "area": box[2] * box[3], "iscrowd": 0}
        for image, (boxes, named) in enumerate(truths)
        for box, label in zip(_corner_and_size(boxes), named, strict=True)
    ]
    reference = COCO()
    reference.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(truths))],
        "categories": [{"id": label} for label in range(labels)],
        "annotations": [row | {"id": number} for number, row in enumerate(rows, start=1)],
    }
    reference.createIndex()
    return reference


def _corner_and_size(boxes: Floats) -> Floats:
    """Centre and size to left, top and size, as COCO has it."""
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., 2:]], axis=-1)
