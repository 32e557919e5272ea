"""A patient's image is drawn again from a bare update, and not from one with noise, nor from the words that leave.

Each attack is shown to work first. The words carry the same bare update, without noise and without CKKS, so that what
hides it is the masks alone; and CKKS alone hides it too.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from privacy.dp.audit import finding, inversion
from privacy.dp.audit.finding import Inversion
from privacy.he import frames
from privacy.he.keyholder import KeyHolder
from privacy.he.params import PRIMES, CiphertextParams
from privacy.randomness import SecureStream
from privacy.secagg import masks
from privacy.secagg.quantise import Quantiser
from privacy.study import Privacy
from tests.privacy.dp.audit.studies import SHAPE, loss, network, privacy, training

BARE = Privacy(mechanism="none", clip=0.7, sampling_rate=1.0, lot_size=90)
NOISY = privacy(rate=1.0)
PARAMS = CiphertextParams(4096, PRIMES[4096, 50], 16, 3)
Image = NDArray[np.float32]


def phantom(shape: tuple[int, int, int] = (1, 32, 32)) -> Image:
    """A body with two lungs, standardised."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape[1:]), indexing="ij")
    body = ((x / 0.85) ** 2 + (y / 0.95) ** 2 < 1) * 1.0
    body -= 0.7 * sum(((x - side) / 0.28) ** 2 + (y / 0.6) ** 2 < 1 for side in (-0.4, 0.4))
    return ((body - body.mean()) / body.std()).astype(np.float32).reshape(shape)


def logistic(image: Image) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(image.size, 1))


def divided(update: NDArray[np.float64], image: Image) -> float:
    """The attack on a linear layer: its gradient is a multiple of the image, and the bias tells which."""
    drawn = (update[: image.size] / update[image.size]).astype(np.float32)
    return inversion.correlation(drawn.reshape(image.shape), image)


class TestLinearLayer:
    image = phantom()

    def update(self, numbers: Privacy) -> NDArray[np.float64]:
        return inversion.one_step(logistic(self.image), loss, self.image, numbers, training())

    def encoded(self) -> NDArray[np.uint16]:
        """The bare update as the integers that are encrypted."""
        update = self.update(BARE)
        limit = float(np.abs(update).max())
        return Quantiser([limit], [update.size], 16).encode(update, SecureStream())[0]

    def test_a_bare_update_is_the_image(self) -> None:
        update = self.update(BARE)
        drawn = update[: self.image.size] / update[self.image.size]
        np.testing.assert_allclose(drawn.reshape(self.image.shape), self.image, atol=1e-3)

    def test_the_update_with_noise_is_not(self) -> None:
        assert abs(divided(self.update(NOISY), self.image)) < finding.HIDDEN

    def test_integers_in_the_clear_are_the_image_and_masked_words_are_not(self) -> None:
        encoded = self.encoded()
        centred = encoded - (2**16 - 1) / 2
        assert divided(centred, self.image) > 0.99
        words = np.zeros((1, len(PARAMS.primes), PARAMS.degree), np.uint64)
        words[0, 0, : encoded.size] = encoded
        masks.add(words, masks.MaskKeys((b"s" * 32,), (b"p" * 32,)), PARAMS, 0)
        seen = words[0, 0, : encoded.size] - PARAMS.primes[0] / 2
        assert abs(divided(seen, self.image)) < finding.HIDDEN

    def test_ciphertext_words_are_not(self) -> None:
        encoded = self.encoded()
        protected = KeyHolder.generate(PARAMS).protect(encoded)
        words = frames.decode(protected.frames[0], PARAMS.ciphertexts(encoded.size), PARAMS)
        seen = words.reshape(-1)[: encoded.size] - PARAMS.primes[0] / 2
        assert abs(divided(seen, self.image)) < finding.HIDDEN


@pytest.mark.audit
class TestNetwork:
    def test_gradient_matching_draws_the_image_without_noise_only(self) -> None:
        found = inversion.attempt(network(), loss, phantom(SHAPE), privacy(), training())
        assert found.unprotected > finding.VISIBLE
        assert abs(found.protected) < finding.HIDDEN
        assert found.outcome == "hidden"
        assert found.noise_multiplier == 1.5

    def test_words_that_leave_do_not_give_it_either(self) -> None:
        size = sum(parameter.numel() for parameter in network().parameters())
        words = masks.Mask(b"m" * 32, PARAMS).words(0, 1).reshape(-1)[:size]
        drawn = inversion.reconstruct(network(), loss, words - PARAMS.primes[0] / 2, SHAPE, steps=150)
        assert abs(inversion.correlation(drawn, phantom(SHAPE))) < finding.HIDDEN


@pytest.mark.parametrize(
    ("unprotected", "protected", "outcome"),
    [
        (0.9, 0.1, "hidden"),
        (0.9, 0.25, "visible"),
        (0.3, 0.1, "not shown"),
        (0.3, 0.4, "visible"),
        (0.9, -0.4, "visible"),
    ],
)
def test_an_attack_that_never_works_proves_nothing(unprotected: float, protected: float, outcome: str) -> None:
    assert Inversion(unprotected, protected, 1.0).outcome == outcome


def test_a_constant_image_resembles_nothing() -> None:
    assert inversion.correlation(np.ones((1, 4, 4), np.float32), phantom((1, 4, 4))) == 0.0
