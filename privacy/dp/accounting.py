"""Epsilon from events, by three accountants that share nothing but the events.

PLD (dp-accounting) is the figure that budgets use; PRV (Opacus) must agree with it within
`AGREEMENT`; RDP (dp-accounting) is shown as the loose bound that older reports state. The central
limit (GDP) accountant under-reports and is not here. All composition is of mechanisms: epsilons are
never added. Adjacency is add/remove of one patient. An unprotected event makes epsilon infinite,
no event makes it zero. The libraries are imported on first use.
"""

import importlib
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, reduce
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, Final

import numpy as np

from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, merge
from privacy.errors import CollegiumError, ConfigError

AGREEMENT: Final = 0.02
"""Largest difference in epsilon between PLD and PRV; PRV's own stated error is 0.01."""

_SIGMA_TICKS: Final = 10_000
"""Noise multipliers are multiples of 1 / 10,000, so that a study file states them exactly."""

_SIGMA_LIMIT: Final = 10_000.0
"""A study cannot name more noise than this."""


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


ACCOUNTANTS: Final[dict[str, str]] = {
    name: f"{package} {installed} ({method})"
    for name, package, method in (
        ("pld", "dp-accounting", "privacy loss distributions"),
        ("rdp", "dp-accounting", "Renyi differential privacy, a loose bound"),
        ("prv", "opacus", "privacy random variables"),
    )
    if (installed := _installed(package)) is not None
}
"""What each accountant is and the version installed here, for reports; absent when not installed."""


@dataclass(frozen=True)
class Spend:
    """Epsilon of the same events at one `delta`; `prv` is None when it was not asked for."""

    delta: float
    pld: float
    rdp: float
    prv: float | None


def epsilon_pld(events: Iterable[DpEvent], delta: float) -> float:
    """Epsilon by privacy loss distributions, an upper bound that is tight to about 1e-4 a step.

    Source: Doroshenko et al., "Connect the Dots", PoPETs 2022 (arXiv 2207.04380).

    Raises:
        ConfigError: delta is not in (0, 1), or dp-accounting is not installed.
    """
    return _epsilon(events, delta, _pld)


def epsilon_rdp(events: Iterable[DpEvent], delta: float) -> float:
    """Epsilon by Renyi differential privacy: safe, 10 to 115 % above the others.

    Source: Mironov, Talwar, Zhang, arXiv 1908.10530.

    Raises:
        ConfigError: as for `epsilon_pld`.
    """
    return _epsilon(events, delta, _rdp)


def epsilon_prv(events: Iterable[DpEvent], delta: float) -> float:
    """Epsilon by Opacus' PRV accountant, its upper bound (about 0.01 above PLD).

    Source: Gopi, Lee, Wutschitz, NeurIPS 2021 (arXiv 2106.02848).

    Raises:
        ConfigError: delta is not in (0, 1), or Opacus is not installed (`accountant.unavailable`).
    """
    return _epsilon(events, delta, _prv)


def spend(events: Iterable[DpEvent], delta: float, *, with_prv: bool) -> Spend:
    """All figures a report shows for one history.

    Raises:
        ConfigError: an accountant is not installed.
        CollegiumError: PLD and PRV differ by more than `AGREEMENT` (`accountant.disagreement`).
    """
    history = merge(events)
    result = Spend(
        delta=delta,
        pld=epsilon_pld(history, delta),
        rdp=epsilon_rdp(history, delta),
        prv=epsilon_prv(history, delta) if with_prv else None,
    )
    if result.prv is not None:
        _check_agreement(result.pld, result.prv)
    return result


def calibrate(epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """The least noise multiplier, in steps of 0.0001, that keeps `steps` within the target.

    PLD is brought to at most `epsilon` - `AGREEMENT`, so that PRV stays within `epsilon` too.

    Raises:
        ConfigError: the target cannot be met, or dp-accounting is not installed.
    """
    target = epsilon - AGREEMENT
    if not target > 0:
        raise ConfigError(f"epsilon must be above {AGREEMENT}; choose a larger epsilon", code="accountant.target")

    def excess(log_sigma: float) -> float:
        event = DpSgdEvent(sampling_rate, math.exp(log_sigma), steps)
        return math.log(epsilon_pld([event], delta) / target)

    # RDP never reports less than PLD and is cheap: it brackets from above before PLD is asked.
    high = 1.0
    while epsilon_rdp([DpSgdEvent(sampling_rate, high, steps)], delta) > target:
        high *= 1.25
        if high > _SIGMA_LIMIT:
            raise ConfigError(
                "no noise multiplier reaches this epsilon; choose a larger epsilon or delta, or fewer steps",
                code="accountant.target",
            )
    while epsilon_rdp([DpSgdEvent(sampling_rate, high / 1.25, steps)], delta) <= target:
        high /= 1.25
    low = high / 1.25
    while excess(math.log(low)) <= 0:
        high, low = low, low / 1.25
    root = _load("scipy.optimize", "scipy").brentq(excess, math.log(low), math.log(high), xtol=1e-5)
    ticks = math.ceil(math.exp(root) * _SIGMA_TICKS)
    while epsilon_pld([DpSgdEvent(sampling_rate, ticks / _SIGMA_TICKS, steps)], delta) > target:
        ticks += 1
    return ticks / _SIGMA_TICKS


def _epsilon(events: Iterable[DpEvent], delta: float, accountant: Callable[[list[DpSgdEvent], float], float]) -> float:
    if not 0 < delta < 1:
        raise ConfigError("delta must lie between 0 and 1; correct it", code="accountant.delta")
    protected = []
    for event in merge(events):
        if isinstance(event, UnprotectedEvent):
            return math.inf
        protected.append(event)
    return accountant(protected, delta) if protected else 0.0


def _pld(events: list[DpSgdEvent], delta: float) -> float:
    return float(_composed(tuple(events)).get_epsilon_for_delta(delta))


@lru_cache(maxsize=4)
def _composed(events: tuple[DpSgdEvent, ...]) -> Any:
    """The privacy loss distribution of a history: curves and attacks ask it at several deltas."""
    steps = (_step(event.sampling_rate, event.noise_multiplier).self_compose(event.steps) for event in events)
    return reduce(lambda left, right: left.compose(right), steps, _library().identity())


@lru_cache(maxsize=16)
def _step(sampling_rate: float, noise_multiplier: float) -> Any:
    """The privacy loss distribution of one step, as the library's `PLDAccountant` makes it; a third of a second."""
    return _library().from_gaussian_mechanism(noise_multiplier, sampling_prob=sampling_rate)


def _library() -> ModuleType:
    return _load("dp_accounting.pld.privacy_loss_distribution", "dp-accounting")


def _rdp(events: list[DpSgdEvent], delta: float) -> float:
    # Whole orders only: the series of fractional ones does not converge at high sampling rates.
    orders = (*range(2, 65), 80, 96, 128, 192, 256, 384, 512, 768, 1024)
    return _compose(_load("dp_accounting.rdp", "dp-accounting").RdpAccountant(orders), events, delta)


def _compose(accountant: Any, events: list[DpSgdEvent], delta: float) -> float:
    library = _load("dp_accounting", "dp-accounting")
    for event in events:
        gaussian = library.GaussianDpEvent(event.noise_multiplier)
        accountant.compose(library.PoissonSampledDpEvent(event.sampling_rate, gaussian), event.steps)
    return float(accountant.get_epsilon(delta))


def _prv(events: list[DpSgdEvent], delta: float) -> float:
    accountant = _load("opacus.accountants", "opacus").PRVAccountant()
    accountant.history = [(event.noise_multiplier, event.sampling_rate, event.steps) for event in events]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its internal RDP bound may sit at the end of its orders; that is only a range
        epsilon = float(accountant.get_epsilon(delta))
    # At epsilons of many hundreds its arithmetic overflows: that bounds nothing.
    return math.inf if math.isnan(epsilon) else epsilon


def _check_agreement(pld: float, prv: float) -> None:
    # Written so that infinity against a number, and NaN, count as disagreement.
    if not (pld == prv or abs(pld - prv) <= AGREEMENT):
        raise CollegiumError(
            "two accountants disagree on the privacy spent; do not train, and report it with this study's numbers",
            code="accountant.disagreement",
        )


def _load(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{package} is not installed here; install Collegium with the extra that this program needs",
            code="accountant.unavailable",
        ) from error
