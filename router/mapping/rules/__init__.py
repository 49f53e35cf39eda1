"""What a mapping may be: its settings by kind of source, checked in AWS's order and words.

`check.problems` takes the settings in the API's form and says what is wrong with them; `settings`
turns them into a `Mapping` and back. API and templates ask the same (`event-source-mappings.md` 1).
"""
