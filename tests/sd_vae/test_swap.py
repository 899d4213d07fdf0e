"""Another VAE for a while."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modules.contracts.errors import InvalidRequest
from modules.sd_vae.swap import swapped


def vae(channels=4):
    return SimpleNamespace(config=SimpleNamespace(latent_channels=channels))


def test_the_very_same_object_comes_back():
    own, other = vae(), vae()
    components = {"unet": 1, "vae": own}
    with swapped(components, other) as inside:
        assert inside["vae"] is other
    assert components == {"unet": 1, "vae": own}
    assert components["vae"] is own


def test_it_comes_back_after_a_failure_too():
    own = vae()
    components = {"vae": own}
    with pytest.raises(ZeroDivisionError), swapped(components, vae()):
        raise ZeroDivisionError
    assert components["vae"] is own


def test_none_changes_nothing():
    components = {"vae": vae()}
    with swapped(components, None) as inside:
        assert inside is components


def test_a_model_without_a_vae_is_without_one_again():
    components = {}
    with swapped(components, vae()):
        assert "vae" in components
    assert components == {}


def test_another_number_of_channels_is_refused_naming_both():
    components = {"vae": vae(16)}
    with (
        pytest.raises(InvalidRequest, match="4 latent channels; this model needs one with 16"),
        swapped(components, vae()),
    ):
        pass
