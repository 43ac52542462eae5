"""What replicas share, in one DynamoDB table: its calls and errors, items as values, its version, making it.

Which items there are is for the stores to say: `approvals.dynamodb_store`, `approvals.dynamodb_outbox`,
`identity.revoking.dynamodb_store`, … `layout` lists them all.
"""
