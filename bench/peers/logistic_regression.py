"""Multinomial logistic regression by scikit-learn on features and labels in two files of raw numbers. Reads one line of JSON at a
time from the standard input, {"C": …}, and answers each with one: seconds of the fit, iterations, and the objective reached."""
import argparse
import json
import sys
import time

import numpy
import sklearn
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser()
parser.add_argument("--features", required=True, help="float32, row-major")
parser.add_argument("--labels", required=True, help="int32")
args = parser.parse_args()

labels = numpy.fromfile(args.labels, dtype=numpy.int32)
features = numpy.fromfile(args.features, dtype=numpy.float32).reshape(len(labels), -1)

for line in sys.stdin:
    c = json.loads(line)["C"]
    start = time.perf_counter()
    model = LogisticRegression(C=c, max_iter=1000).fit(features, labels)
    seconds = time.perf_counter() - start
    log_likelihood = model.predict_log_proba(features)[numpy.arange(len(labels)), labels].sum()
    objective = -c * log_likelihood + 0.5 * (model.coef_**2).sum()
    answer = {"seconds": seconds, "iterations": int(model.n_iter_[0]), "objective": float(objective)}
    print(json.dumps({**answer, "version": sklearn.__version__}), flush=True)
