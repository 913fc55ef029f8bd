"""From durable files to recorded instances: eligibility, ingest, completion and routing."""
