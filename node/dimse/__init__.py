"""The DICOM network: association admission, Storage and Verification SCP, Storage SCU (PS3.7, PS3.8)."""
