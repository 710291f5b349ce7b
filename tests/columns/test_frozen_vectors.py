"""The vectors of now as a column: of unit length, of the stream that is asked for."""

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import UsageError

VECTORS = {"x": np.array([[3.0, 4.0], [0.0, 2.0]], "float32"), "y": np.array([[1.0, 0.0], [-5.0, 0.0]], "float32")}


def test_it_is_the_stream_itself_at_unit_length():
    first, second = (nf.frozen_vectors(stream=name)(VECTORS, {}, 0) for name in ("", "y"))
    assert first.dtype == np.float32
    assert np.allclose(first, [[0.6, 0.8], [0.0, 1.0]])
    assert second.tolist() == [[1.0, 0.0], [-1.0, 0.0]]
    assert not np.allclose(first, VECTORS["x"])


def test_a_stream_that_is_missing_is_named():
    with pytest.raises(UsageError, match="no stream 'z'"):
        nf.frozen_vectors(stream="z")(VECTORS, {}, 0)
