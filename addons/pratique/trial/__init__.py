"""Local work on policies: recorded requests through the real engine, offline, with nothing sent anywhere.

Belongs here: what was recorded as requests to be judged (`recorded`, `audit_event`, `reading`), the judgement (`judging`), what
two sets of documents show differently (`visibility`), counts and examples (`tally`), what was expected (`expectation`), many files
in several processes (`running`); what was used (`usage`, `naming`) as a policy and its RBAC (`proposal`, `proposal_text`, `role`), or as
a case (`as_case`). Not here: the engine itself (`pratique.policy`, `pratique.masking`), output (`pratique.cli`).
"""
