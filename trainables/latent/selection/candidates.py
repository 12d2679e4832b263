"""Real points that may stand in for chosen ones, and what tells good exchanges from bad ones."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.latent.initialisation import class_rows
from trainables.latent.latents import LatentData
from trainables.latent.selection.influence import Influence
from trainables.latent.selection.reward import Judged
from trainables.seeds import generator

FEATURES = ("influence", "distance", "coverage", "mean_match", "centrality")
"""Of an exchange of a chosen point i for a candidate j of its class, each with mean 0 and deviation 1:

- influence: first-order fall of the probe's loss on the training latents (:class:`Influence`);
- distance: from i to j: how far the exchange goes;
- coverage: from j to the closest other chosen point of the class;
- mean_match: rise of the squared distance between the chosen points' mean and that of the class: herding's
  criterion, negative where the exchange brings them together;
- centrality: how much farther j lies from the class mean than i does.
"""

# Of one class: beyond it, a nearest candidate is hardly nearer.
MOST_CANDIDATES = 4000
# Numbers in the features of one subset: 160 MB of float32, several times over while they are made.
MOST_NUMBERS = 40_000_000


class Candidates:
    """Candidates of every class, and the features of exchanges.

    Args:
        data: latents.
        budget: points per class, m.
        seed: of the draw of candidates, where a class has more of them than are looked at.

    Attributes:
        rows: (C, P) int64 rows of the training latents; a class with fewer than P has its first repeated.

    Raises:
        InputError: if a class has fewer than ``budget`` points.
    """

    def __init__(self, data: LatentData, budget: int, seed: int) -> None:
        x, classes = data.train_x, len(data.class_names)
        every = class_rows(data.train_y, classes, budget)
        slots = classes * budget
        most = min(MOST_CANDIDATES, max(budget + 1, MOST_NUMBERS // (slots * len(FEATURES))))
        width = min(most, max(map(len, every)))
        randomness = generator(seed, "candidates")
        drawn = [rows[torch.randperm(len(rows), generator=randomness)[:width].to(x.device)] for rows in every]
        self.rows = torch.stack([torch.cat([r, r[:1].expand(width - len(r))]) for r in drawn])
        self._repeated = torch.stack([torch.arange(width, device=x.device) >= len(r) for r in drawn])
        self._data, self._budget = data, budget
        self._means = torch.stack([x[rows].mean(0) for rows in every])  # (C, d)
        self._points = x[self.rows]  # (C, P, d)
        self._central = torch.cdist(self._points, self._means[:, None])[..., 0]  # (C, P)

    def features(self, subset: Tensor, judged: Judged) -> tuple[Tensor, Tensor]:
        """Of all exchanges of one candidate for one point of a subset.

        Args:
            subset: (C * m,) int64 rows of the training latents, by class.
            judged: what it is worth, alone.

        Returns:
            (C * m, P, 5) float32, see :data:`FEATURES`, and (C * m, P) whether each exchange is one: its
            candidate is not chosen already.
        """
        data, m = self._data, self._budget
        classes, width, d = self._points.shape
        chosen = data.train_x[subset].view(classes, m, d)
        class_of = torch.arange(classes, device=subset.device)
        influence = Influence(judged, data.train_x, data.train_y)
        candidate_influence = influence.of(self._points, class_of[:, None].expand(-1, width))  # (C, P)
        own_influence = influence.of(chosen, class_of[:, None].expand(-1, m))  # (C, m)

        distance = torch.cdist(chosen, self._points)  # (C, m, P)
        off = chosen.mean(1) - self._means  # (C, d)
        along = (
            torch.einsum("cd,cpd->cp", off, self._points)[:, None]
            - torch.einsum("cd,cmd->cm", off, chosen)[..., None]
        )  # (C, m, P)
        central = torch.cdist(chosen, self._means[:, None])  # (C, m, 1)
        found = torch.stack(
            [
                candidate_influence[:, None] - own_influence[..., None],
                distance,
                _distance_to_others(distance),
                2 * along / m + distance.square() / m**2,
                self._central[:, None] - central,
            ],
            3,
        ).flatten(0, 1)  # (C * m, P, 5)
        free = ~(torch.isin(self.rows, subset) | self._repeated)
        free = free.repeat_interleave(m, 0)  # (C * m, P)
        among = found[free] if free.any() else found.flatten(0, 1)  # none: all classes are chosen whole
        found = (found - among.mean(0)) / (among.std(0, correction=0) + 1e-9)
        return found, free


def _distance_to_others(distance: Tensor) -> Tensor:
    """From each candidate to the closest chosen point but one; zero where there is no other.

    Args:
        distance: (C, m, P) from chosen points to candidates.
    """
    if distance.shape[1] == 1:
        return torch.zeros_like(distance)
    two = distance.topk(2, dim=1, largest=False)
    closest = two.indices[:, :1] == torch.arange(distance.shape[1], device=distance.device)[None, :, None]
    return torch.where(closest, two.values[:, 1:], two.values[:, :1])
