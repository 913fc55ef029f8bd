"""The workers: Celery tasks that analyse a job and deliver its results, and the command-line program.

May import `node` and `models`.
"""
