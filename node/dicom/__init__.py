"""Tables and parsers of the DICOM Standard. Knows no network, no disk layout and no database."""
