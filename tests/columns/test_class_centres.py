"""Centres of classes: means of directions in loops, classes of one, and what is refused."""

import numpy as np
import pytest

import nearfar as nf


def test_equal_to_loops():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(-1, 4, 30)
    found = nf.class_centres(label="kind", stream="y")({"x": -x, "y": x}, {"kind": label}, 0)
    unit = x / np.linalg.norm(x, axis=1)[:, None]
    for i in range(30):
        mates = [j for j in range(30) if label[j] == label[i]] if label[i] >= 0 else [i]
        mean = sum(unit[j] for j in mates)
        assert np.allclose(found[i], mean / np.linalg.norm(mean), atol=1e-6)
    raw = sum(x[j] for j in range(30) if label[j] == 0)
    assert not np.allclose(found[label == 0][0], raw / np.linalg.norm(raw), atol=1e-3), "long vectors weigh no more"


def test_a_class_without_a_direction_leaves_its_records_where_they_are():
    x = np.array([[1, 0], [-1, 0], [0, 2]], dtype=np.float32)
    assert nf.class_centres()({"x": x}, {"label": np.array([1, 1, 0])}, 0).tolist() == [[1, 0], [-1, 0], [0, 1]]


@pytest.mark.parametrize("columns", [{}, {"label": np.zeros((2, 2))}, {"label": np.zeros(3)}])
def test_columns_that_are_no_labels_are_refused(columns):
    with pytest.raises(nf.UsageError, match="no column 'label'"):
        nf.class_centres()({"x": np.eye(2)}, columns, 0)
