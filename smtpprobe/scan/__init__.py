"""Scanning many domains: each endpoint once, politely, losing nothing.

    domains -> MX -> addresses -> distinct endpoints -> one session each -> back to the domains

The same evidence as that of a single check, made in less time: `reading` takes the targets in, `journal` keeps on
disk what is known, `pace` says who may be talked to now, `worker` asks and talks, `results` says what came of a
domain, and `engine` lets them work together. `distributed` does the same on many machines: `parts` is what each of
them does, `shuffling` who talks to whom, `lease` that nobody else does, `staging` and `store` what lies between them.
Importing this package costs nothing.
"""
