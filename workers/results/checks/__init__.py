"""What preflight looks at in the bytes of a result. Each check yields what is wrong, and no value of the patient."""
