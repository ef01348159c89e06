"""What is expected of mail servers, written in a file, and held against what a probe finds.

    file -> Config -> Plan (targets, options) -> Evidence -> findings

| module | knows |
|---|---|
| `model` | the form of the file: its classes are type, reader and JSON schema at once |
| `wording` | how single values are written: MX records, replies to questions, durations |
| `lines` | on which line of a TOML file a key stands |
| `finding` | which file of a folder it is |
| `reading` | the file into a `Config`, and its mistakes by line and key |
| `planning` | a named target of the file into what is probed, and how |
| `sessions`, `judging` | evidence and expectations into findings; pure |
| `allowances` | findings that are allowed for a time, or worth more than usual; pure |
| `proposing` | evidence into a file that expects just that |
"""
