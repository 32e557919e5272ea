"""A report in the forms that others ask for, a module a form. Each says nothing that the record or a ledger does not.

What the evidence does not show is written "not shown", for a person to fill in. None of them is legal advice.
"""

NOT_SHOWN = "not shown"
