"""The playground: a request and a policy tried out on the reviewers' page, by the gateway's own engine. Nothing is sent."""
