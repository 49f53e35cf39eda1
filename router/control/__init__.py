"""AWS protocols in front of what the router knows: one server, one class per service.

A request is parsed, checked and answered by the service's model (`model`, `protocol`, `validate`);
a service is a class with one method per operation and never sees HTTP.
"""
