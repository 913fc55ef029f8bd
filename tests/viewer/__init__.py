"""OHIF in headless Chromium: the viewer's files, a server for them, the browser, and what is seen on its screen."""
