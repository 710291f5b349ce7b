"""Files of TREC: read, written, and every bad line named."""

import gzip

import pytest

import nearfar as nf
from nearfar.core.errors import DataError
from nearfar.data.trec_files import read_qrels, read_run, write_qrels, write_run

RUN = "q1 Q0 d3 1 2.5 me\nq1\tQ0\td1\t2\t-1e-3\tme\n\nq2 Q0 d3 1 7 me\n"


def test_a_run_of_another_tool(tmp_path):
    (tmp_path / "a.run").write_text(RUN)
    (tmp_path / "a.run.gz").write_bytes(gzip.compress(RUN.encode()))
    for name in ("a.run", "a.run.gz"):
        assert read_run(tmp_path / name) == {"q1": {"d3": 2.5, "d1": -0.001}, "q2": {"d3": 7.0}}


def test_qrels_of_trec_and_of_beir(tmp_path):
    (tmp_path / "a.qrels").write_text("301 0 FT-1 1\n301 0 FT-2 0\r\n302 0 FT-1 -2\n")
    assert read_qrels(tmp_path / "a.qrels") == {"301": {"FT-1": 1, "FT-2": 0}, "302": {"FT-1": -2}}
    (tmp_path / "a.tsv").write_text("query-id\tcorpus-id\tscore\n1\t31\t1\n2\t7\t2\n")
    assert read_qrels(tmp_path / "a.tsv") == {"1": {"31": 1}, "2": {"7": 2}}


def test_what_is_written_is_read_again(tmp_path):
    run = {"q1": {"a": 0.1 + 0.2, "b": -5.0, "c": 1e-300}, "ü2": {"文": 3}}
    write_run(tmp_path / "x.run", run, tag="mine")
    assert read_run(tmp_path / "x.run") == run
    lines = (tmp_path / "x.run").read_text("utf-8").splitlines()
    assert lines[0] == "q1 Q0 a 1 0.30000000000000004 mine"
    assert [line.split()[2:4] for line in lines[:3]] == [["a", "1"], ["c", "2"], ["b", "3"]], "best first, ranks from 1"
    qrels = {"q1": {"a": 2, "b": 0, "c": -1}, "q2": {"a": 0.5}}
    write_qrels(tmp_path / "x.qrels", qrels)
    assert (tmp_path / "x.qrels").read_text("utf-8") == "q1 0 a 2\nq1 0 b 0\nq1 0 c -1\nq2 0 a 0.5\n"
    assert read_qrels(tmp_path / "x.qrels") == qrels
    assert nf.evaluate_run(read_run(tmp_path / "x.run"), qrels).mrr == 0.5, "q2 was not searched for"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_run, "q1 Q0 d1 1 2.5 me\nq1 Q0 d2 2 1.5\n", r"5 fields, not 6 \[.*x\.txt, line 2\]"),
        (read_run, "q1 Q0 d1 1 high me\n", r"'high' is no number \[.*line 1\]"),
        (read_run, "q1 Q0 d1 1 nan me\n", "'nan' is no number"),
        (
            read_run,
            "q1 Q0 d1 1 2 me\nq2 Q0 d1 1 2 me\nq1 Q0 d1 2 1 me\n",
            r"d1 is retrieved twice for query q1 .*line 3",
        ),
        (read_run, "\n\n", "no record"),
        (read_run, "", "empty"),
        (read_qrels, "q1 0 d1\n", r"3 fields, not 4 .*line 1"),
        (read_qrels, "query-id\tcorpus-id\tscore\nq1\t0\td1\t1\n", r"4 fields, not 3 .*line 2"),
        (read_qrels, "query-id\tcorpus-id\tscore\n", "no record"),
        (read_qrels, "q1 0 d1 yes\n", "'yes' is no number"),
        (read_qrels, "q1 0 d1 1\nq1 0 d1 2\n", r"judged twice .*line 2"),
    ],
)
def test_bad_lines_are_named(tmp_path, read, text, message):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert caught.value.remedy
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "y.txt")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"q 1": {"d": 1.0}}, "query 'q 1'"),
        ({"": {"d": 1.0}}, "query ''"),
        ({"q": {"d\t1": 1.0}}, "document"),
        ({"q": {"d": float("nan")}}, "document d for query q is nan"),
        ({"q": {"d": float("inf")}}, "inf"),
    ],
)
def test_what_no_file_can_hold_is_not_written(tmp_path, table, message):
    for write in (write_run, write_qrels):
        with pytest.raises(DataError, match=message):
            write(tmp_path / "x", table)
    with pytest.raises(DataError, match="tag"):
        write_run(tmp_path / "x", {}, tag="my run")
    assert not (tmp_path / "x").exists()
