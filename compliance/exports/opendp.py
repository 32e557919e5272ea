"""A record for OpenDP's registry of differential-privacy deployments, as a draft for its authors to complete.

The registry has one epsilon and delta for a deployment: those of the hospital that was charged most. The others stand
in the details. Form: registry.opendp.org, deployments-schema.yaml.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from compliance.exports import NOT_SHOWN
from compliance.signing import Signature
from privacy.errors import ConfigError


def record(report: Mapping[str, Any], signatures: Sequence[Signature]) -> str:
    """The record as JSON, which is also YAML.

    Raises:
        ConfigError: the report has no hospital or no study, or one trained without differential privacy or
            with code that an audit refuted.
    """
    silos, studies = report["silos"], report["studies"]
    if not silos or not studies:
        raise ConfigError("this report has no hospital or no study, so there is no deployment to register")
    if report["summary"]["unprotected"]:
        raise ConfigError("a hospital trained without differential privacy, so this is no deployment of it to register")
    if report["summary"]["refuted"]:
        raise ConfigError("an audit refuted what a hospital claims, so there is no figure to register")
    names = ", ".join(study["name"] for study in studies)
    return (
        json.dumps(
            {
                "url_slug": re.sub(r"[^a-z0-9]+", "-", names.lower()).strip("-"),
                "status": "Draft",
                "tier": 3,
                "deployment": {
                    "basic": {
                        "name": names,
                        "data_curators": [silo["name"] for silo in silos],
                        "intended_use": " ".join(filter(None, (study["description"] for study in studies)))
                        or NOT_SHOWN,
                        "data_product_type": "Machine learning model",
                        "data_product_region": NOT_SHOWN,
                        "description": " ".join(report["statement"]),
                        "publication_date": report["made_at"][:10],
                        "data_product_sector": "Healthcare",
                    },
                    "dp_variant": {
                        "variant_name": "Approximate DP",
                        "data_domain": "; ".join(_cohorts(silos)),
                        "unprotected_quantities": "; ".join(one["title"] for one in report["exposures"]),
                    },
                    "privacy_loss": _loss(report),
                    "deployment_model": {
                        "model_name": "Federated",
                        "actors": "; ".join(map(_actors, studies)),
                        "release_type": "Many releases",
                        "data_source_type": "Static",
                        "access_type": "Non-interactive",
                    },
                    "accounting": {
                        "composition": "Events of all rounds and studies of a cohort are composed: "
                        + ", ".join(report["accountants"].values()),
                    },
                    "implementation": {
                        "preprocessing_and_hyperparameter_tuning": "Choices made elsewhere are in no ledger.",
                        "mechanisms": "; ".join(_mechanisms(studies)) or NOT_SHOWN,
                    },
                    "administrative": {"registry_authors": [signature.name for signature in signatures] or [NOT_SHOWN]},
                },
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )


def _loss(report: Mapping[str, Any]) -> dict[str, Any]:
    summary = report["summary"]
    shown = isinstance(summary["spent"], int | float) and summary["delta"] is not None
    details = [
        f"{silo['name']} / {cohort['names'][0]}: epsilon {_text(cohort['spent'])} at delta {_text(cohort['delta'])}, "
        f"cap {_text(cohort['cap'])}"
        for silo in report["silos"]
        for cohort in silo["cohorts"]
    ]
    return {
        "privacy_unit": "Patient, with all of that patient's images at one hospital",
        "privacy_unit_details": "Cohorts of one hospital that differ by adding or removing one patient.",
        # A figure that is not shown, or unlimited, is no number, and stands in the details.
        **({"privacy_parameters": {"epsilon": summary["spent"], "delta": summary["delta"]}} if shown else {}),
        "privacy_parameters_details": "; ".join(details) or NOT_SHOWN,
    }


def _cohorts(silos: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"cohort '{cohort['names'][0]}' of {silo['name']}" for silo in silos for cohort in silo["cohorts"]]


def _actors(study: Mapping[str, Any]) -> str:
    trust = study["trust"]
    if trust is None:
        return f"{study['name']}: {NOT_SHOWN}"
    return (
        f"{study['name']}: {', '.join(trust['silos'])} train and open only sums of at least {trust['threshold']}; "
        f"{trust['aggregator']} adds encrypted updates and can open none, also together with "
        f"{trust['collusion_tolerated']} of the hospitals"
    )


def _mechanisms(studies: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{study['name']}: {one['name']}, Poisson sampling at rate {_text(one['sampling_rate'])}, noise multiplier "
        f"{_text(one['noise_multiplier'])}, clip {_text(study['clip'])}"
        for study in studies
        for one in study["mechanisms"]
    ]


def _text(figure: object) -> str:
    return NOT_SHOWN if figure is None else str(figure)
