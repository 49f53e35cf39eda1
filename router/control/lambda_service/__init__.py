"""Lambda: functions, their invocation, event source mappings; one class per area."""
