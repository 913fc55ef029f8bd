"""One package for each kind of training, all with the same files: recipe, data, module, fit, export.

May import everything of training but evaluation, explore and the command line; detection stands on boxes.
"""
