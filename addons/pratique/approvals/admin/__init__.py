"""The admin listener: the reviewers' page, the HTTP API that page, command line and webhooks use, probes and metrics.

`sessions` is who is logged in and what may be decided once, `views` what is shown, `api` the handlers, `openapi` their
description, `server` the listener, `static` the page. Never reachable through the port that clients use.
"""
