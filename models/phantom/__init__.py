"""A generated frontal chest radiograph for canary, load tests, benchmarks and first steps without a study.

`generate` draws the image and its true masks from a seed, `dataset` and `write` make a valid DICOM object of it.
It needs numpy, OpenCV and pydicom, not torch. It is no patient, and no network may be trained or evaluated on it.

Imports nothing of `models`.
"""

from models.phantom.dicom import Photometric, SopClass, View, dataset, write
from models.phantom.image import Phantom, generate

__all__ = ["Phantom", "Photometric", "SopClass", "View", "dataset", "generate", "write"]
