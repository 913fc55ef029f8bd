"""Networks, bundles, preprocessing and measurements, shared by training and serving. Knows no queue and no database."""
