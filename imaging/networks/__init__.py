"""Networks that a study may name, in the form that gradients of single patients need, and their first weights."""
