"""Policies that change a choice of real points, and learn from what the changes were worth.

Both are linear in a few standardised features, so that some hundred rewards are enough to learn them, and
what one has learned can be read, and carried over to other data. Their gradient is REINFORCE's (Williams,
"Simple statistical gradient-following algorithms", Machine Learning 8, 1992) with a baseline.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from trainables.latent.adam import Adam
from trainables.latent.selection.candidates import FEATURES, Candidates

# Advantages are told in deviations, and a single lucky subset shall not turn the policy round.
_CLIP = 3.0
_MEMORY = 0.9
# Far below any score, but finite: a class all of whose points are chosen has no candidate, and its
# probabilities are still numbers.
_NEVER = -1e9
# Draws until no subset is left without a change; what is left after them is changed at its likeliest slot.
_DRAWS = 20


@dataclass(frozen=True)
class Proposals:
    """Subsets that a policy drew.

    Attributes:
        subsets: (S, C * m) int64 rows of the training latents.
        log_probability: (S,) float32, differentiable in the policy's parameters.
        entropy: () float32 nats a decision, differentiable.
    """

    subsets: Tensor
    log_probability: Tensor
    entropy: Tensor


class Policy(ABC):
    """What is common: parameters, their gradient, their state.

    Args:
        parameters: float32, trained.
        lr: Adam's learning rate; 0 leaves the policy as it starts.
        entropy: weight of the entropy bonus.
    """

    MOVES: bool
    """Whether features are taken anew at each better subset."""

    def __init__(self, parameters: list[Tensor], lr: float, entropy: float) -> None:
        self._parameters = [parameter.requires_grad_() for parameter in parameters]
        self._optimizer = Adam(self._parameters)
        self._lr, self._entropy = lr, entropy
        self._baseline: float | None = None
        self._spread = 0.0

    @abstractmethod
    def propose(
        self, subset: Tensor, features: Tensor, free: Tensor, n: int, randomness: torch.Generator
    ) -> Proposals:
        """Draw ``n`` changes of a subset (C * m,), given the features of exchanges and which are free."""

    @abstractmethod
    def told(self) -> dict[str, float]:
        """The parameters by name."""

    def learn(self, proposals: Proposals, gains: Tensor) -> None:
        """One step along the policy gradient.

        Args:
            gains: (S,) float64: how much better than the subset that was changed each one is.
        """
        if self._lr == 0:
            return
        mean, spread = float(gains.mean()), float(gains.std(correction=0))
        if self._baseline is None:
            self._baseline, self._spread = mean, spread
        # The mean of this batch tells what to expect better than any memory, but a batch of one has none.
        self._baseline = _MEMORY * self._baseline + (1 - _MEMORY) * mean
        self._spread = _MEMORY * self._spread + (1 - _MEMORY) * spread
        expected = mean if len(gains) > 1 else self._baseline
        advantages = ((gains - expected) / (self._spread + 1e-6)).clamp(-_CLIP, _CLIP)
        advantages = advantages.to(proposals.log_probability.dtype)
        loss = -(proposals.log_probability * advantages).mean() - self._entropy * proposals.entropy
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step_if_finite(self._lr)  # it may be far too high

    def state_dict(self) -> dict[str, Any]:
        """Parameters, Adam's moments and the running baseline."""
        return {
            "parameters": [parameter.detach().clone() for parameter in self._parameters],
            "optimizer": self._optimizer.state_dict(),
            "baseline": math.nan if self._baseline is None else self._baseline,
            "spread": self._spread,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`.

        Raises:
            ValueError: if the parameters do not fit.
        """
        with torch.no_grad():
            for parameter, stored in zip(self._parameters, state["parameters"], strict=True):
                if parameter.shape != stored.shape:
                    raise ValueError(f"policy parameters of shape {tuple(stored.shape)}")
                parameter.copy_(stored)
        self._optimizer.load_state_dict(state["optimizer"])
        baseline = float(state["baseline"])
        self._baseline = None if math.isnan(baseline) else baseline
        self._spread = float(state["spread"])


class SequentialPolicy(Policy):
    """Changes the best subset so far, again and again, aware of what it holds.

    Each chosen point is exchanged with a probability that follows from its expected influence and from a
    learned rate, and its successor drawn by the features of the exchange. It starts from what a first look
    suggests: candidates of high influence that are near, as influence is true of small steps only.

    Args:
        candidates: of the data.
        slots: points of a subset, C * m.
        lr, entropy: see :class:`Policy`.
    """

    MOVES = True
    INFLUENCE, DISTANCE = 2.0, -4.0
    """Weights that it starts with; those of the other features are zero."""
    EXCHANGES = 2.0
    """Points that it exchanges at first, on average."""

    def __init__(self, candidates: Candidates, slots: int, lr: float, entropy: float) -> None:
        device = candidates.rows.device
        weights = torch.zeros(len(FEATURES), device=device)
        weights[FEATURES.index("influence")] = self.INFLUENCE
        weights[FEATURES.index("distance")] = self.DISTANCE
        share = min(self.EXCHANGES / slots, 0.5)
        rate = torch.tensor([math.log(share / (1 - share)), 1.0], device=device)
        super().__init__([weights, rate], lr, entropy)
        self._weights, self._rate = weights, rate
        self._candidates = candidates

    def propose(
        self, subset: Tensor, features: Tensor, free: Tensor, n: int, randomness: torch.Generator
    ) -> Proposals:
        log_next = (features @ self._weights).masked_fill(~free, _NEVER).log_softmax(1)  # (C * m, P)
        nexts = log_next.exp()
        # Which points to exchange: those that can be bettered. What is expected is no part of the gradient,
        # which would otherwise pull the choice of successors towards the rate's needs.
        expected = (nexts.detach() * features[..., FEATURES.index("influence")]).sum(1)  # (C * m,)
        expected = (expected - expected.mean()) / (expected.std(correction=0) + 1e-9)
        logits = self._rate[0] + self._rate[1] * expected
        exchanged = _at_least_one(logits.detach(), n, randomness)  # (n, C * m)
        picks = torch.multinomial(nexts.detach().cpu(), n, replacement=True, generator=randomness)
        picks = picks.to(subset.device)  # (C * m, n)

        class_of = torch.arange(len(self._candidates.rows), device=subset.device)
        class_of = class_of.repeat_interleave(len(subset) // len(class_of))
        drawn = self._candidates.rows[class_of[:, None], picks].T  # (n, C * m)
        kept = torch.where(exchanged, logsigmoid(logits) + log_next.gather(1, picks).T, logsigmoid(-logits))
        none_changed = logsigmoid(-logits).sum().clamp_max(-1e-3)
        log_probability = kept.sum(1) - torch.log1p(-none_changed.exp())
        uncertain = -(nexts * log_next).sum(1).mean()
        return Proposals(_without_doubles(subset, drawn, exchanged), log_probability, uncertain)

    def told(self) -> dict[str, float]:
        weights = dict(zip(FEATURES, self._weights.tolist(), strict=True))
        share = float(self._rate[0].sigmoid().detach())
        return {**weights, "exchange_share": share, "exchange_by_influence": float(self._rate[1].detach())}


class OneShotPolicy(Policy):
    """Draws whole subsets at once, by one score a candidate, from what is known of them at the start.

    Points are drawn without replacement in proportion to the exponentials of their scores (Plackett-Luce, by
    Gumbel noise: Kool, van Hoof & Welling, "Stochastic beams and where to find them", ICML 2019). Those of
    the starting subset have a score of their own, high at first: so the policy starts close to it.

    Args: see :class:`SequentialPolicy`.
    """

    MOVES = False
    KEEP, INFLUENCE, DISTANCE = 8.0, 1.0, -2.0

    def __init__(self, candidates: Candidates, slots: int, lr: float, entropy: float) -> None:
        device = candidates.rows.device
        weights = torch.zeros(1 + len(FEATURES), device=device)
        weights[0] = self.KEEP
        weights[1 + FEATURES.index("influence")] = self.INFLUENCE
        weights[1 + FEATURES.index("distance")] = self.DISTANCE
        super().__init__([weights], lr, entropy)
        self._weights, self._candidates = weights, candidates

    def propose(
        self, subset: Tensor, features: Tensor, free: Tensor, n: int, randomness: torch.Generator
    ) -> Proposals:
        classes = len(self._candidates.rows)
        m = len(subset) // classes
        # A candidate's features are those of its exchange for the nearest point of the start.
        by_class = features.view(classes, m, *features.shape[1:])  # (C, m, P, 5)
        nearest = by_class[..., FEATURES.index("distance")].argmin(1, keepdim=True)  # (C, 1, P)
        own = by_class.gather(1, nearest[..., None].expand(-1, -1, -1, features.shape[2])).squeeze(1)
        scores = (own @ self._weights[1:]).masked_fill(~free[::m], _NEVER)  # (C, P)
        scores = torch.cat([self._weights[:1].expand(classes, m), scores], 1)  # (C, m + P)
        noise = torch.rand(n, *scores.shape, generator=randomness).clamp_min(1e-20).to(scores.device)
        order = (scores.detach() - (-noise.log()).log()).topk(m, dim=2).indices  # (n, C, m)
        rows = torch.cat([subset.view(classes, m), self._candidates.rows], 1)
        drawn = rows[torch.arange(classes, device=rows.device)[None, :, None], order]
        picked = scores[None].expand(n, -1, -1).gather(2, order)  # (n, C, m)
        # What is left to draw from, after each draw: log(exp(a) - exp(b)) along the order.
        everything = scores.logsumexp(1)[None, :, None].expand(n, -1, 1)
        taken = picked.logcumsumexp(2)[..., :-1]
        left = everything + torch.log1p(-(taken - everything).exp().clamp_max(1 - 1e-6))
        log_probability = (picked - torch.cat([everything, left], 2)).sum((1, 2))
        log_shares = scores.log_softmax(1)
        uncertain = -(log_shares.exp() * log_shares).sum(1).mean()
        return Proposals(drawn.flatten(1), log_probability, uncertain)

    def told(self) -> dict[str, float]:
        return dict(zip(("keep", *FEATURES), self._weights.tolist(), strict=True))


POLICIES: dict[str, type[SequentialPolicy] | type[OneShotPolicy]] = {
    "sequential": SequentialPolicy,
    "one_shot": OneShotPolicy,
}


def _at_least_one(logits: Tensor, n: int, randomness: torch.Generator) -> Tensor:
    """(n, k) independent draws with those log-odds (k,), again until each row has one."""
    shares = logits.sigmoid().cpu()
    drawn = torch.rand(n, len(shares), generator=randomness) < shares
    for _ in range(_DRAWS):
        none = ~drawn.any(1)
        if not none.any():
            break
        drawn[none] = torch.rand(int(none.sum()), len(shares), generator=randomness) < shares
    drawn[~drawn.any(1), int(shares.argmax())] = True
    return drawn.to(logits.device)


def _without_doubles(subset: Tensor, drawn: Tensor, exchanged: Tensor) -> Tensor:
    """Exchange points (n, k) of a subset (k,), but for those whose successor is in already."""
    changed = subset.expand_as(drawn).clone()
    for which, slot in exchanged.nonzero().tolist():
        if not bool((changed[which] == drawn[which, slot]).any()):
            changed[which, slot] = drawn[which, slot]
    return changed
