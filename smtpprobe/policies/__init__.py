"""What a domain publishes about the security of its mail, read: TLSA records, MTA-STS, TLS-RPT.

Pure functions of records and bodies that were looked up elsewhere. Each module knows one standard and says what of it
holds; what that is worth to somebody is for the checks.
"""
