"""The classical baseline: engineered features within the lungs, and gradient boosting."""
