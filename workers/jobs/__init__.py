"""One job from claim to its last delivery, without Celery."""
