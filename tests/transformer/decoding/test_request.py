import pytest

from data.batch import EOS
from transformer.config import DecodingConfig
from transformer.decoding import SearchPlan
from transformer.decoding.request import TermRequest, make_request, stack


def test_a_length_limit_is_that_of_the_sentences_own_length():
    """By hand, for sources of 3 and 10 tokens, EOS counted: 2 * 3 + 1 = 7 and 2 * 10 + 1 = 21, of which 20 fit."""
    decoding = DecodingConfig(maximum_ratio=2.0, maximum_extra=1, minimum_ratio=1.0, minimum_length=4)
    of_bucket = SearchPlan(decoding, maximum_length=20, bucket=16)
    requests = [make_request(of_bucket, [5] * 2 + [EOS]), make_request(of_bucket, [5] * 9 + [EOS])]
    stacked = stack(requests, of_bucket, rows=3)
    assert stacked.limit.tolist() == [7, 20, 0]
    assert stacked.minimum.tolist() == [6, 13, 0]
    assert stacked.source.shape == (3, 16)
    assert of_bucket.stages == (16, 20)


def test_the_parts_of_a_line_have_different_keys_and_the_first_that_of_the_line():
    of_all = SearchPlan(DecodingConfig(seed=7), maximum_length=20)
    keys = [tuple(make_request(of_all, [5, EOS], line=line, part=part).key) for line in (1, 2) for part in range(3)]
    assert (keys[0], keys[3]) == ((7, 1), (7, 2))
    assert len(set(keys)) == 6


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"prefix": [5]}, "no room for a prefix"),
        ({"terms": [TermRequest([[5, 6]])]}, "no room for 1 terms of up to 2 tokens"),
    ],
)
def test_requests_beyond_the_capacities_of_the_plan_are_rejected(wish, message):
    with pytest.raises(ValueError, match=message):
        make_request(SearchPlan(DecodingConfig(), maximum_length=20), [7, EOS], **wish)
