"""Atari games as one batched environment, with the preprocessing that the field compares by.

Up to 30 no-ops at the start, four frames an action (the last two merged), 84 x 84 grey pixels, the last
four of them stacked, the newest as the last (Mnih et al., "Human-level control through deep reinforcement
learning", Nature 2015); no sticky actions and no press of the fire button at the start, as in the
NoFrameskip-v4 environments. An episode's first stack is filled up with black pictures.
"""

from __future__ import annotations

import difflib
import functools
import re

from gymnasium.vector import AutoresetMode

from trainables.environment.cartpole import Batch
from trainables.errors import InputError

PREFIX = "ALE/"
HUMAN_RETURNS = {"Centipede": 11_963.0, "MsPacman": 15_693.0, "Pong": 9.3, "SpaceInvaders": 1_652.0}
"""Of a professional tester, by game (Mnih et al., 2015, extended data table 2)."""
REFERENCE_GAMES = tuple(HUMAN_RETURNS)
_FORMS = (r"(?:ALE/)?(\w+?)(?:-v5)?", r"(\w+)NoFrameskip-v4")


def canonical_id(name: str) -> str | None:
    """``ALE/<Game>-v5`` for a game in any of the usual spellings, ``None`` for what is no game."""
    for form in _FORMS:
        found = re.fullmatch(form, name)
        title = _titles().get(found[1].lower()) if found else None
        if title is not None:
            return f"{PREFIX}{title}-v5"
    return None


def title_of(env_id: str) -> str:
    """``ALE/Pong-v5`` -> ``Pong``."""
    return env_id.removeprefix(PREFIX).removesuffix("-v5")


def make(env_id: str, num_envs: int) -> Batch:
    """A batch of games; observations are uint8 of shape (num_envs, 4, 84, 84).

    Args:
        env_id: as :func:`canonical_id` gives it.

    Raises:
        InputError: if there is no such game.
    """
    from ale_py.vector_env import AtariVectorEnv

    title = title_of(env_id)
    if title.lower() not in _titles():
        close = difflib.get_close_matches(title.lower(), _titles(), n=1)
        remedy = (
            f"did you mean '{_titles()[close[0]]}'?" if close else "give its name as in Pong or SpaceInvaders"
        )
        raise InputError(f"--env is '{env_id}'", "there is no such game", remedy)
    env: Batch = AtariVectorEnv(
        _rom(title),
        num_envs=num_envs,
        num_threads=1,  # a trial asks for the processors it uses
        autoreset_mode=AutoresetMode.SAME_STEP,
        reward_clipping=False,
        use_fire_reset=False,
    )
    return env


@functools.cache
def _roms() -> dict[str, str]:
    """The file of each game, by its title in lower case; titles are written without blanks."""
    from ale_py.roms import get_all_rom_ids

    return {rom.replace("_", ""): rom for rom in get_all_rom_ids()}


def _rom(title: str) -> str:
    return _roms()[title.lower()]


@functools.cache
def _titles() -> dict[str, str]:
    """``spaceinvaders`` -> ``SpaceInvaders``."""
    return {name: "".join(map(str.capitalize, rom.split("_"))) for name, rom in _roms().items()}
