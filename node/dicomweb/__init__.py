"""DICOMweb as user agent (PS3.18). The only place that imports requests and dicomweb-client."""
