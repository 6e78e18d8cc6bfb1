"""What a load process does: each kind of job is a module with `prepare`.

`prepare(job)` makes everything ready and answers what to call when the clock
starts. The answer of that is a mapping with the `count` of what was done and the
`seconds` it took, and whatever else the kind has to tell.
"""
