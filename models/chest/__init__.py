"""The chest radiograph: gate, findings, anatomy, lesions."""
