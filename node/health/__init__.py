"""How well the node is: what is looked at, and what of it an operator should know.

`facts` looks and judges nothing, `troubles` judges and looks at nothing. May import, of `node`: `dispatch` and what
stands below.
"""
