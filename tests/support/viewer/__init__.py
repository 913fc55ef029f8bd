"""OHIF in headless Chromium, and its loader of Segmentations in Node: their files, what runs them, and what is seen."""
