#!/usr/bin/env python3
"""Records what scikit-learn says of random answers, into fixtures/metrics.

Run from the repository: /usr/bin/python3 scripts/fixtures-metrics.py
Needs Debian bookworm's python3-sklearn and python3-numpy; refuses other versions.

classification.json: scores [60, 7] of 60 pictures in 7 classes, of which the last has none, and their truths;
  `scores` have no ties, `tied` are the same rounded to one decimal, with many.
retrieval.json: similarities [9, 20] of 9 pictures and 20 captions, 1 to 4 for each picture.
"""

import json
from pathlib import Path

import numpy
import sklearn
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
    top_k_accuracy_score,
)

assert sklearn.__version__ == "1.2.1", f"recorded with scikit-learn 1.2.1, this is {sklearn.__version__}"
assert numpy.__version__ == "1.24.2", f"recorded with NumPy 1.24.2, this is {numpy.__version__}"

folder = Path(__file__).resolve().parent.parent / "fixtures" / "metrics"
versions = {"scikit-learn": sklearn.__version__, "numpy": numpy.__version__}
random = numpy.random.default_rng(20)


def eleven_points(truth, scores):
    """VOC2007's average precision from scikit-learn's curve; recalls are rounded, so that 3 of 10 reach 0.3."""
    precision, recall, _ = precision_recall_curve(truth, scores)
    recall = numpy.round(recall, 12)
    return float(numpy.mean([precision[:-1][recall[:-1] >= t / 10].max() for t in range(11)]))


def classification():
    pictures, classes = 60, 7
    truths = random.integers(0, classes - 1, pictures)
    scores = random.normal(size=(pictures, classes)) + 1.2 * numpy.eye(classes)[truths]
    scores = numpy.round(scores, 6)
    tied = numpy.round(scores, 1)
    predicted = scores.argmax(1)
    confidences = numpy.round(numpy.exp(scores) / numpy.exp(scores).sum(1, keepdims=True), 6).max(1)
    right = (predicted == truths).astype(int)
    accuracy, confidence = calibration_curve(right, confidences, n_bins=10, strategy="uniform")
    labels = range(classes)
    occurring = range(classes - 1)
    return {
        "versions": versions,
        "truths": truths.tolist(),
        "scores": scores.tolist(),
        "tied": tied.tolist(),
        "top1": top_k_accuracy_score(truths, scores, k=1, labels=labels),
        "top2": top_k_accuracy_score(truths, scores, k=2, labels=labels),
        "top5": top_k_accuracy_score(truths, scores, k=5, labels=labels),
        "meanPerClass": balanced_accuracy_score(truths, predicted),
        "confusion": confusion_matrix(truths, predicted, labels=labels).tolist(),
        "rocAuc": [roc_auc_score(truths == c, tied[:, c]) for c in occurring],
        "averagePrecision11": [eleven_points(truths == c, tied[:, c]) for c in occurring],
        "confidences": confidences.tolist(),
        "right": right.tolist(),
        "calibrationCurve": {"accuracy": accuracy.tolist(), "confidence": confidence.tolist()},
    }


def retrieval():
    image_of_text = numpy.array([0, 0, 1, 2, 2, 2, 2, 3, 3, 4, 5, 5, 5, 6, 6, 7, 7, 7, 8, 8])
    images = image_of_text.max() + 1
    similarities = random.normal(size=(images, len(image_of_text)))
    similarities += 0.9 * (image_of_text[None, :] == numpy.arange(images)[:, None])
    similarities = numpy.round(similarities, 6)
    text_order = (-similarities).argsort(1)
    hits = image_of_text[text_order] == numpy.arange(images)[:, None]
    return {
        "versions": versions,
        "imageOfText": image_of_text.tolist(),
        "similarities": similarities.tolist(),
        "textRecall": {k: float(hits[:, :k].any(1).mean()) for k in (1, 2, 5)},
        "imageRecall": {
            k: top_k_accuracy_score(image_of_text, similarities.T, k=k, labels=range(images)) for k in (1, 2, 5)
        },
    }


for name, record in {"classification": classification(), "retrieval": retrieval()}.items():
    (folder / f"{name}.json").write_text(json.dumps(record) + "\n")
