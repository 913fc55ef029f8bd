"""Decoding of compressed frames in a process of its own, so that whatever a codec does ends with that process.

`client` is the side of who wants pixels; `server` is the warm process, which forks once for each frame. May import, of
`models`: `errors`.
"""
