"""The API in this process: what it answers, what it refuses and with which words, and that its document is true."""

import asyncio
import json
import threading

import numpy as np
import pytest
from starlette.testclient import TestClient

from nearfar.core.errors import DataError
from nearfar.search.index import Index
from nearfar.server.app import application
from nearfar.server.limits import Limits
from nearfar.server.refusal import Refusal
from nearfar.server.service import Service
from nearfar.server.worker import Worker
from nearfar.training.load import load
from server import served

TOKEN = "a-token-of-enough-letters"


def service(*folders, limits=None, writes=False, token=False):
    opened = [
        (f"corpus {i}", Index.open(f / "index", write=writes and i == 1), load(f / "model"))
        for i, f in enumerate(folders, 1)
    ]
    return Service.of(opened, limits, writes=writes, token=token)


def client(made, **options):
    return TestClient(application(made, **options), raise_server_exceptions=False, base_url="http://localhost")


@pytest.fixture(scope="module")
def reading(folder, other):
    made = service(folder, other)
    yield made
    made.close()


@pytest.fixture(scope="module")
def api(reading):
    return client(reading)


@pytest.fixture
def writing(folder, tmp_path):
    made = service(served.copied(folder, tmp_path / "copy"), writes=True)
    yield client(made)
    made.close()


def keys(answer):
    return [hit["key"] for hit in answer.json()["hits"]]


def test_a_query_finds_what_shares_its_words_and_says_how(api):
    found = api.get("/api/search", params={"q": "azure beaver", "k": 5})
    assert found.status_code == 200
    hits = {hit["key"]: hit for hit in found.json()["hits"]}
    assert "azure-beaver" in hits
    hit = hits["azure-beaver"]
    assert hit["words_rank"] == 1
    assert hit["title"] == "azure beaver"
    assert hit["place"] == "zoo/azure.md:14"
    assert hit["fields"] == {"colour": "azure", "house": "beaver"}
    assert len(hit["at"]) == 2
    assert "azure-beaver" not in keys(api.get("/api/search", params={"q": "olive jaguar", "k": 5}))


def test_modes_order_by_their_own_score(api):
    near = api.get("/api/search", params={"q": "sea glow beavers", "mode": "near", "k": 8}).json()["hits"]
    words = api.get("/api/search", params={"q": "sea glow beavers", "mode": "words", "k": 8}).json()["hits"]
    assert [hit["cosine"] for hit in near] == sorted((hit["cosine"] for hit in near), reverse=True)
    assert all(hit["words"] is None for hit in near)
    assert [hit["words"] for hit in words] == sorted((hit["words"] for hit in words), reverse=True)
    assert all(hit["cosine"] is None for hit in words)
    assert [hit["score"] for hit in near] != [hit["score"] for hit in words]


def test_the_last_word_may_be_unfinished(api):
    asked = {"q": "where is the wal", "mode": "words", "k": 20}
    assert keys(api.get("/api/search", params={**asked, "prefix": "true"}))[0].endswith("walrus")
    assert not any(
        key.endswith("walrus") for key in keys(api.get("/api/search", params={**asked, "prefix": "false"}))[:1]
    )


def test_filters_hold(api):
    found = api.get("/api/search", params={"q": "beaver", "k": 50, "where": ["colour=azure", "line>=14"]})
    assert keys(found)
    assert all(key.startswith("azure-") for key in keys(found))
    assert "azure-badger" not in keys(found)  # line 13
    assert "azure-badger" in keys(api.get("/api/search", params={"q": "badger", "k": 50, "where": "colour=azure"}))


def test_a_batch_answers_as_single_queries_do(api):
    queries = ["azure beaver", "nothing-of-this", "olive jaguar"]
    batch = api.post("/api/search", json={"queries": queries, "k": 4}).json()["results"]
    single = [api.get("/api/search", params={"q": q, "k": 4}).json()["hits"] for q in queries]
    assert [result["hits"] for result in batch] == single
    assert api.post("/api/search", json={"queries": queries, "k": 4.0}).json()["results"] == batch  # a whole number too
    assert api.post("/api/search", json={"queries": queries, "k": 4.5}).status_code == 422
    assert single[0] != single[2]


def test_words_that_the_model_does_not_know_find_nothing(api):
    for q in (" ", "\u200b"):
        assert api.get("/api/search", params={"q": q, "mode": "near"}).json()["hits"] == []


def test_more_like_this_leaves_itself_out(api):
    like = keys(api.get("/api/like", params={"key": "azure-beaver", "k": 5}))
    assert "azure-beaver" not in like
    assert sum(key.endswith("beaver") for key in like) >= 3
    assert api.get("/api/like", params={"key": "nobody"}).status_code == 404


def test_an_explanation_says_which_pieces_count(api):
    told = api.get("/api/explain", params={"q": "where do the beavers live", "key": "azure-beaver"}).json()
    worth = {told["text"][start:end].strip(): value for start, end, value in told["pieces"]}
    assert worth["beavers"] > worth["glow"]
    assert told["shared"] == ["beavers", "live", "the"]
    assert [told["query"][start:end] for start, end, _ in told["query_words"]] == [
        "where",
        "do",
        "the",
        "beavers",
        "live",
    ]


def test_two_indexes_are_asked_by_name(api):
    first, second = api.get("/api/index").json()["indexes"]
    assert (first["dimension"], second["dimension"]) == (32, 48)
    assert first["model"] != second["model"]
    asked = {"q": "azure beaver", "mode": "near", "k": 5}
    ours, theirs = (
        api.get("/api/search", params={**asked, "index": i["name"]}).json()["hits"] for i in (first, second)
    )
    assert [hit["cosine"] for hit in ours] != [hit["cosine"] for hit in theirs]


def test_the_map_has_every_record_and_hits_fall_on_their_points(api):
    shown = api.get("/api/map").json()
    assert len(shown["points"]) == len(shown["keys"]) == len(shown["labels"]) == shown["rows"] == 121
    hit = api.get("/api/search", params={"q": "azure beaver", "k": 1}).json()["hits"][0]
    place = dict(zip(shown["keys"], shown["points"], strict=True))
    assert hit["at"] == place[hit["key"]]
    assert hit["at"] != place["olive-jaguar"]
    assert shown["colours"]["colour"]["codes"].count(-1) == 1  # the hostile one has no colour
    assert 0 < shown["share"] < 1
    # Of many values the most frequent are coloured; a text or a number that each has for itself says nothing.
    assert "text" not in shown["colours"]
    assert "line" not in shown["colours"]


def test_facts_offer_columns_and_examples(api):
    first = api.get("/api/index").json()["indexes"][0]
    columns = {column["name"]: dict(column["values"]) for column in first["columns"]}
    assert columns["colour"]["azure"] == 12
    assert len(first["examples"]) == 3
    assert all(keys(api.get("/api/search", params={"q": example, "k": 3})) for example in first["examples"])


@pytest.mark.parametrize(
    ("path", "params", "status", "told"),
    [
        ("/api/search", {}, 422, "q is missing"),
        ("/api/search", {"q": ""}, 422, "this is empty"),
        ("/api/search", {"q": "a" * 1001}, 422, "1,001 letters; at most 1,000 are taken"),
        ("/api/search", {"q": "a", "k": 101}, 422, "101 is above 100"),
        ("/api/search", {"q": "a", "k": 0}, 422, "0 is below 1"),
        ("/api/search", {"q": "a", "k": "ten"}, 422, "this is string, not integer"),
        ("/api/search", {"q": ["a", "b"]}, 422, "q is given twice"),
        ("/api/search", {"q": "a", "mode": "magic"}, 422, "'magic' is none of hybrid, near, words"),
        ("/api/search", {"q": "a", "index": "../../etc"}, 422, "is none of corpus 1, corpus 2"),
        ("/api/search", {"q": "a", "colour": "red"}, 422, "'colour' is no parameter of this path"),
        ("/api/search", {"q": "a", "where": "colour"}, 422, "has not the form"),
        ("/api/search", {"q": "a", "where": ["a=1"] * 9}, 422, "9 are given; at most 8 are taken"),
        ("/api/row", {"key": "../../etc/passwd"}, 404, "there is no row"),
        ("/api/nothing", {}, 404, "there is no such path"),
        ("/page/search.css", {}, 404, "there is no such path"),
        ("/../pyproject.toml", {}, 404, "there is no such path"),
    ],
)
def test_bad_requests_are_told_what_where_and_what_to_do(api, path, params, status, told):
    answer = api.get(path, params=params)
    assert answer.status_code == status
    assert told in answer.json()["what"]
    assert set(answer.json()) == {"what", "where", "remedy"}


def test_bad_bodies_are_refused(api):
    path, sent = "/api/search", {"content-type": "application/json"}
    assert api.post(path, content=b"{", headers=sent).status_code == 400
    assert api.post(path, content=b"[" * 100_000, headers=sent).status_code == 400
    assert api.post(path, content=b'{"queries": ["a"], "k": NaN}', headers=sent).status_code == 400
    assert api.post(path, content=b"\xff\xfe", headers=sent).status_code == 400
    assert api.post(path, content=b'{"queries": ["a"]}', headers={"content-type": "text/plain"}).status_code == 415
    assert api.post(path, content=b'{"queries": ["a"]}', headers=sent).status_code == 200
    for body, told in (
        ({"queries": []}, "at least 1"),
        ({"queries": ["a"] * 65}, "65 are given; at most 64"),
        ({"queries": ["a"], "k": True}, "this is boolean, not integer"),
        ({"queries": ["a"], "other": 1}, "'other' is not known here"),
        ({"queries": [1]}, "this is integer, not string"),
        ({}, "queries is missing"),
        ([], "this is array, not object"),
    ):
        answer = api.post(path, json=body)
        assert answer.status_code == 422
        assert told in answer.json()["what"]
    half = api.post(path, content=b'{"queries": ["\\ud800"]}', headers=sent)
    assert half.status_code == 422
    assert "half a surrogate pair" in half.json()["what"]


def test_a_body_or_a_query_string_beyond_its_limit(api):
    assert api.post("/api/search", content=b" " * ((1 << 20) + 1)).status_code == 413

    def pieces():  # nothing is said of its length
        for _ in range(20):
            yield b" " * 65_536

    assert api.post("/api/search", content=pieces()).status_code == 413
    assert api.get("/api/search?" + "&".join(f"q={i}" for i in range(70))).status_code == 400
    assert api.get("/api/search?q=%ff").status_code == 400


def test_methods_that_there_are_not(api):
    for method, path in (("PUT", "/api/search"), ("DELETE", "/api/map"), ("POST", "/"), ("OPTIONS", "/api/search")):
        answer = api.request(method, path)
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]
        assert f"{method} is not taken here" in answer.json()["what"]


def test_writing_is_not_there_unless_allowed(api):
    assert api.post("/api/rows", json={"rows": [{"key": "a", "text": "b"}]}).status_code == 404
    assert api.delete("/api/rows", params={"key": "azure-beaver"}).status_code == 404
    assert "/api/rows" not in api.get("/openapi.json").json()["paths"]


def test_rows_are_added_replaced_and_deleted(writing):
    row = {"key": "new", "text": "the sea glow beavers swim far away", "colour": "azure", "size": 3}
    assert writing.post("/api/rows", json={"rows": [row]}).json() == {"changed": 1, "rows": 122}
    asked = {"q": "beavers swim far away", "k": 3}
    assert keys(writing.get("/api/search", params=asked))[0] == "new"
    changed = row | {"text": "the gem gold turtles live in the turtle house"}
    assert writing.post("/api/rows", json={"rows": [changed]}).json() == {"changed": 1, "rows": 122}
    assert keys(writing.get("/api/search", params=asked))[0] != "new"
    assert writing.get("/api/row", params={"key": "new"}).json()["row"] == {
        k: v for k, v in changed.items() if k != "key"
    }
    assert writing.delete("/api/rows", params={"key": ["new", "never was"]}).json() == {"changed": 1, "rows": 121}
    assert writing.get("/api/row", params={"key": "new"}).status_code == 404


def test_a_bad_row_changes_nothing(writing):
    good = {"key": "good", "text": "the sea glow beavers"}
    for bad, told in (
        ({"key": "bad", "text": " "}, "the model knows no word of this text"),
        ({"key": "bad"}, "text is missing"),
        ({"key": "bad", "text": "a beaver", "list": [1]}, "this is array"),
        (good, "given twice"),
    ):
        answer = writing.post("/api/rows", json={"rows": [good, bad]})
        assert answer.status_code == 422
        assert told in answer.json()["what"]
        assert writing.get("/api/row", params={"key": "good"}).status_code == 404
    assert writing.post("/api/rows", json={"rows": [good]}).status_code == 200


def test_the_token_guards_all_but_the_page_and_health(reading):
    guarded = client(reading, token=TOKEN)
    for path in ("/api/index", "/api/search?q=a", "/api/map", "/metrics", "/openapi.json"):
        for given in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": TOKEN},
            {"authorization": "Basic " + TOKEN},
        ):
            answer = guarded.get(path, headers=given)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert guarded.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    for path in ("/", "/search.js", "/health"):
        assert guarded.get(path).status_code == 200


def test_names_that_are_not_ours_are_refused(reading):
    hosts = {"localhost", "127.0.0.1", "[::1]"}
    bound = client(reading, hosts=hosts)
    for host in ("localhost", "localhost:8642", "127.0.0.1:1", "[::1]:8642", "LOCALHOST"):
        assert bound.get("/health", headers={"host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "[::1].evil", "[::2]"):
        answer = bound.get("/", headers={"host": host})
        assert answer.status_code == 400
        assert "not called so" in answer.json()["what"]
    assert client(reading).get("/health", headers={"host": "search.example"}).status_code == 200


def test_pages_of_other_sites_may_not_ask(api):
    for site in ("cross-site", "same-site"):
        assert api.get("/api/search?q=a", headers={"sec-fetch-site": site}).status_code == 403
        assert api.get("/", headers={"sec-fetch-site": site}).status_code == 200  # a link may lead here
    answer = api.get("/api/search?q=a", headers={"sec-fetch-site": "same-origin", "origin": "http://localhost"})
    assert answer.status_code == 200
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_browsers_are_told_to_run_nothing_else(api):
    for path in ("/", "/search.js", "/api/index", "/nothing", "/api/search"):
        headers = api.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert api.get("/api/index").headers["cache-control"] == "no-store"


def test_metrics_count_by_route_and_know_nothing_of_made_up_paths(api):
    api.get("/api/search", params={"q": "azure"})
    api.get("/made/up/7")
    said = api.get("/metrics").text
    assert 'nearfar_requests_total{route="/api/search",method="GET",status="200"}' in said
    assert 'route="other",method="GET",status="404"' in said
    assert "made" not in said
    assert 'nearfar_rows{index="corpus 1"} 121' in said
    assert "nearfar_in_flight 1" in said
    counts = [
        line.rpartition(" ")[2]
        for line in said.splitlines()
        if line.startswith('nearfar_request_seconds_bucket{route="/api/search"')
    ]
    assert list(map(int, counts)) == sorted(map(int, counts))


def test_damage_found_while_running_is_told_and_never_answered_over(folder, tmp_path):
    made = service(served.copied(folder, tmp_path / "copy"))
    damaged = client(made)
    asked = {"q": "azure beaver", "k": 3}
    assert damaged.get("/health").status_code == 200
    corpus = made._corpora["corpus 1"][0]

    def broken(*_, **__):
        raise DataError("rows.sqlite is damaged: a secret place", where="/a/secret/place")

    well, corpus.searcher.search_many = corpus.searcher.search_many, broken
    answer = damaged.get("/api/search", params=asked)
    assert answer.status_code == 500
    assert "is damaged" in answer.json()["what"]
    assert "secret" not in answer.text
    assert damaged.get("/health").status_code == 503
    corpus.searcher.search_many = well
    assert damaged.get("/api/search", params=asked).status_code == 500, "nothing is answered from it any more"
    assert 'nearfar_healthy{index="corpus 1"} 0' in damaged.get("/metrics").text
    made.close()


def test_a_fault_tells_the_client_nothing_of_what_is_inside(folder, tmp_path, caplog):
    made = service(served.copied(folder, tmp_path / "copy"))
    corpus = made._corpora["corpus 1"][0]

    def broken(*_, **__):
        raise RuntimeError("a secret")

    corpus.searcher.search_many = broken
    answer = client(made).get("/api/search", params={"q": "a"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "a secret" in caplog.text
    made.close()


def test_too_many_at_once_are_asked_to_come_again_and_late_answers_are_given_up():
    async def both():
        worker, go = Worker(Limits(waiting=2, answer_within=0.3, threads=1)), threading.Event()
        waiting = [asyncio.create_task(worker.run(go.wait)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal) as refused:
            await worker.run(lambda: 1)
        late = await asyncio.gather(*waiting, return_exceptions=True)
        assert refused.value.status == 503
        assert refused.value.headers == {"retry-after": "1"}
        assert [error.status for error in late] == [504, 504]
        with pytest.raises(Refusal):  # the first one still runs, but the second never began
            await asyncio.gather(worker.run(lambda: 1), worker.run(lambda: 1))
        go.set()
        await asyncio.sleep(0.05)
        assert await worker.run(lambda: 5) == 5
        worker.close()

    asyncio.run(both())


def test_a_model_of_images_is_never_given_a_path_to_open(tmp_path):
    from PIL import Image

    from nearfar.core.model import Model
    from nearfar.encoders.convolutional import Convolutional

    paths = []
    for i in range(4):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(np.full((16, 16, 3), 60 * i, np.uint8)).save(paths[-1])
    tower = Convolutional.fit({"image": paths}, size=16)
    made = Model({"image": tower})
    rows = [{"image": path, "class": "grey"} for path in paths]
    index = Index.build(tmp_path / "photos", made.encode(paths), rows, model=made.fingerprint, about={"side": "image"})
    photos = Service.of([("photos", index, made)])
    asked = client(photos)
    assert asked.get("/api/index").json()["indexes"][0]["reads_text"] is False
    for mode in ("near", "hybrid"):
        answer = asked.get("/api/search", params={"q": paths[0], "mode": mode})
        assert answer.status_code == 422
        assert "does not read text" in answer.json()["what"]
    assert asked.get("/api/search", params={"q": "grey", "mode": "words"}).json()["hits"]
    assert len(asked.get("/api/like", params={"key": "1", "k": 2}).json()["hits"]) == 2
    photos.close()


def test_every_answer_is_as_the_document_says(api):
    document = api.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/api/search", "/api/like", "/api/row", "/api/explain", "/api/map", "/api/index", "/health", "/metrics", "/openapi.json"
    }  # fmt: skip
    assert json.dumps(document).count("/work") == 0
