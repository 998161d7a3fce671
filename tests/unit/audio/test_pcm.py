"""Samples: rounding, clipping, scales, channels, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from hugflow.audio import pcm

STEP = 1 / 32768


def rounded(*values: float) -> tuple[list[int], int]:
    samples, clipped = pcm.to_int16(np.array(values, np.float32))
    assert samples.dtype == np.int16
    return samples.tolist(), clipped


def test_rounding_is_to_the_nearest_and_at_halves_to_the_even() -> None:
    assert rounded(0.4 * STEP, 0.6 * STEP, -0.4 * STEP, -0.6 * STEP) == ([0, 1, 0, -1], 0)
    assert rounded(0.5 * STEP, 1.5 * STEP, -0.5 * STEP, -1.5 * STEP) == ([0, 2, 0, -2], 0)


def test_full_scale_is_no_clipping_and_beyond_it_is() -> None:
    assert rounded(1.0, -1.0, 1 - STEP) == ([32767, -32768, 32767], 0)
    assert rounded(1.001, -1.001, 50.0, -50.0, 0.0) == ([32767, -32768, 32767, -32768, 0], 4)
    assert rounded(float("nan"), float("inf"), float("-inf"), 0.5) == ([0, 32767, -32768, 16384], 3)


def test_every_16_bit_value_goes_there_and_back() -> None:
    every = np.arange(-32768, 32768, dtype=np.int16)

    back, clipped = pcm.to_int16(pcm.to_mono(every))

    np.testing.assert_array_equal(back, every)
    assert clipped == 0


@given(arrays.arrays(np.int16, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_mono_of_16_bit_channels_is_their_mean(block: NDArray[np.int16]) -> None:
    exact = block.astype(np.float64).mean(1) / 32768

    assert np.abs(pcm.to_mono(block) - exact).max() < 1e-7


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=2, max_side=9)))
def test_no_float_is_too_odd(block: NDArray[np.float32]) -> None:
    """NaN (signalling ones too), infinities, subnormals, sums beyond the largest float: 16-bit samples come out."""
    mono, gaps = pcm.without_gaps(pcm.to_mono(block))
    samples, clipped = pcm.to_int16(mono)

    assert np.isfinite(mono).all()
    assert (samples.shape, samples.dtype) == ((len(block),), np.dtype(np.int16))
    assert 0 <= gaps <= len(block)
    assert 0 <= clipped <= len(block)


def test_signalling_nan_is_a_gap() -> None:
    block = np.full(4, 0x7FA00000, np.uint32).view(np.float32)

    assert pcm.without_gaps(pcm.to_mono(block))[1] == 4
    assert pcm.without_gaps(pcm.to_mono(block.reshape(2, 2)))[1] == 2


def test_blocks_of_an_array_are_the_array() -> None:
    array = np.arange(3 * 200_000, dtype=np.int16).reshape(-1, 3)

    sound = pcm.from_array(array, 16000)
    blocks = list(sound.blocks)

    assert (sound.frames, sound.channels, sound.sample_rate) == (200_000, 3, 16000)
    assert max(block.size for block in blocks) <= pcm.BLOCK_SAMPLES
    np.testing.assert_array_equal(np.concatenate(blocks), array)


@pytest.mark.parametrize(
    ("shape", "planar", "expected"),
    [
        ((5,), None, (5, 1)),
        ((5, 2), None, (5, 2)),
        ((2, 5), None, (5, 2)),
        ((2, 2), None, (2, 2)),
        ((2, 5), False, (2, 5)),
        ((5, 2), True, (2, 5)),
    ],
)
def test_which_axis_the_channels_are(shape: tuple[int, ...], planar: bool | None, expected: tuple[int, int]) -> None:
    sound = pcm.from_array(np.zeros(shape), 16000, planar=planar)

    assert (sound.frames, sound.channels) == expected


@given(st.integers(1, 64))
def test_blocks_hold_whole_frames(channels: int) -> None:
    assert 1 <= pcm.block_frames(channels) <= pcm.BLOCK_SAMPLES // channels
