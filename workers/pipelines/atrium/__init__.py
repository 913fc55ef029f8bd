"""The pipeline for the left atrium in MR series: each series is one volume."""
