"""Made-up facts of two conditions: no subject in two parts, two different answers a subject."""

from nearfar.datasets.two_condition_facts import LENGTH, SUBJECTS, two_condition_facts


def test_every_subject_is_in_one_part_and_its_two_facts_differ():
    parts = {name: part.fields for name, part in two_condition_facts().parts.items()}
    assert set(parts) == {"train", "dev", "test"}
    subjects = [prompt[:LENGTH] for part in parts.values() for prompt in part["hidden"]]
    assert len(set(subjects)) == len(subjects) == 3 * SUBJECTS
    for part in parts.values():
        for popular, rare, hidden in zip(part["popular"], part["rare"], part["hidden"], strict=True):
            assert popular[:LENGTH] == rare[:LENGTH] == hidden[:LENGTH]
            assert popular[LENGTH:].isupper()
            assert rare[LENGTH:].isupper()
            assert popular != rare
            assert hidden[LENGTH:] == "_"
        answers = list(zip(part["popular_answer"], part["rare_answer"], strict=True))
        assert all(a != b and len(a) == len(b) == 1 for a, b in answers)
        assert len({a for a, _ in answers}) > 10


def test_it_is_the_same_every_time():
    assert two_condition_facts().fingerprint == two_condition_facts().fingerprint
