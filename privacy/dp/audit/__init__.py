"""An empirical check of the training mechanism: attacks on made-up patients, and what they prove.

An audit gives a lower bound on epsilon that holds with a stated confidence. A bound above the claimed
epsilon proves the mechanism broken; one below it proves nothing but that these attacks failed. No
patient is read and no budget is spent: every cohort in here is made up.
"""
