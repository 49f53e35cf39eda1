"""Counts its records where the bench can see it: no router, log or metric has to be believed."""

import os
import socket

HOST, PORT = os.environ["COLLECTOR"].rsplit(":", 1)
link = socket.create_connection((HOST, int(PORT)))
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def handler(event, context):
    link.sendall(b"%d\n" % len(event["Records"]))
