"""What preflight looks at in the bytes of a result. Each check yields what is wrong, and no value of the patient.

May import, of `workers.results`: `part10` and what stands below.
"""
