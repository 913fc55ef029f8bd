"""The pipeline for chest radiographs: gate, findings, anatomy and lesions of each image on its own."""
