"""The template is the configuration: SAM or CloudFormation in, what shall exist out.

    file ─ read ─► document ─ parameters, conditions ─► sam (a child process) ─► intrinsics
         ─ resources/* ─► desired state ─ plan ─► changes of the catalog

Nothing here is loaded by a router that reads no template.
"""
