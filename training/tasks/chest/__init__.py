"""Classification and segmentation of chest radiographs."""
