"""A study in plain words, for the person who decides whether the hospital takes part: what it reads, sends and costs.

Says what is, and judges nothing; `checks` and `costs` refuse.
"""

from privacy.roster import Roster
from privacy.study import Study
from silo_node.approvals.costs import Cost


def describe(signed: Study, cohort: str, patients: int, price: Cost) -> str:
    """The study in plain words, for the person who decides."""
    privacy, training = signed.privacy, signed.training
    if privacy.mechanism == "none":
        guarantee = "NONE: single patients are not protected, and the cohort's budget is used up for good."
        cost_line = "unlimited (training without differential privacy)"
    else:
        guarantee = (
            f"patient-level differential privacy: whether or not any one patient takes part, the\n"
            f"              probability of anything others see changes by a factor of at most e^{privacy.epsilon:g}\n"
            f"              (delta {privacy.delta:g}, adding or removing one patient)."
        )
        cost_line = f"epsilon {price.before:.2f} now, {price.after:.2f} after the study; cap {price.cap.epsilon:g}"
    silos = "\n".join(f"    {silo.name:<20} {silo.fingerprint}" for silo in signed.roster.silos)
    return f"""\
Study         {signed.name} of consortium {signed.consortium}
              {signed.description or "(no description)"}
Will be read  cohort '{cohort}': {patients} patients, de-identified images and the label '{signed.task.label}'
Will train    {signed.model.name}, {training.rounds} rounds of {training.local_steps} step(s); each patient is drawn
              with probability {privacy.sampling_rate:g} a step
Starts from   {_start(signed)}
Will leave    a masked and encrypted model update a round, and how many of its values were out of range; only the sum
              over the silos can be opened, by the silos.
              Counts of correct and wrong predictions on held-out patients ({signed.evaluation.split}), in the same
              encrypted sum: exact, NOT covered by differential privacy. Times and sizes of messages.
Guarantee     {guarantee}
Budget        {cost_line}
Roster        code {signed.roster.code} (read it to the other hospitals; all must have the same)
{silos}
    aggregator {signed.roster.aggregator.name:<9} {signed.roster.aggregator.fingerprint}
Revocation    {_revocation(signed.roster)}
Threshold     {_threshold(signed.roster)}
"""


def _start(signed: Study) -> str:
    """Where the first weights are from, and what stays as it is."""
    model = signed.model
    start = "weights made of the study's public seed"
    if model.pretrained is not None:
        start = (
            f"public weights, compared: SHA-256 {model.pretrained.sha256[:32]}\n"
            f"              {model.pretrained.sha256[32:]}. Whose data they were made of is not covered by\n"
            "              this budget."
        )
    if model.freeze:
        start += f"\n              Not trained, never sent: all that begins with {', '.join(model.freeze)}."
    return start


def _revocation(roster: Roster) -> str:
    """Whether a hospital whose keys are lost can be shut out while the study runs."""
    if roster.statements == "none":
        return "NOT checked: a hospital whose keys were stolen stays in until another study is signed."
    return "checked before each round, against the consortium's newest signed roster statement."


def _threshold(roster: Roster) -> str:
    """What a round needs and who would have to work together to see one hospital's update."""
    silos, together = len(roster.silos), roster.collusion_tolerated
    needs = f"a round needs {roster.threshold} of {silos} hospitals; {roster.dropouts_tolerated} may be missing."
    if silos == 2:
        return f"""{needs}
              With two hospitals the masks hide nothing between them: each can subtract its own update from the sum."""
    return f"""{needs}
              This hospital's update stays hidden within the sum, even from the aggregator working together with
              {together} of the other hospitals. The sum itself is known to every hospital."""
