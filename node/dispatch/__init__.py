"""What moves studies on: the dispatcher's rounds, the Celery messages that it sends, and what it keeps in order.

May import, of `node`: `intake`, `pulse` and what stands below.
"""
