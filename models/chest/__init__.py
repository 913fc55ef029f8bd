"""The chest radiograph: gate, findings, anatomy, lesions.

May import everything of models but volume and phantom.
"""
