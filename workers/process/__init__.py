"""The processes: Celery tasks, and the supervisor of the embedded node."""
