import numpy as np

from data.random_numbers import keys_of, numbers
from tests.support import plain_sampling

# The first outputs of SplitMix64 from state 1234567, by Vigna's program: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
PUBLISHED = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_the_numbers_of_a_key_are_those_of_splitmix():
    keys = np.full(5, 1234567, np.uint64)
    assert numbers(keys, np.arange(5)).tolist() == [number >> 11 for number in PUBLISHED]
    assert numbers(keys, 3).tolist() == [PUBLISHED[3] >> 11] * 5


def test_keys_differ_by_every_part_and_by_their_order():
    parts = [(seed, epoch, pair) for seed in (-1, 0, 1, 2**64 - 2) for epoch in range(3) for pair in range(50)]
    keys = [int(keys_of(seed, epoch, np.array([pair]))[0]) for seed, epoch, pair in parts]
    assert keys == [plain_sampling.key_of(seed % 2**64, epoch, pair) for seed, epoch, pair in parts]
    assert len(set(keys)) == len(parts)
