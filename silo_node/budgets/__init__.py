"""The privacy budgets of this hospital's cohorts: their caps, what is spent, and the second person's consent."""
