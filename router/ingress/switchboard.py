"""What stands behind the listener: webhooks by their path, functions' URLs by name or path."""

from router.http.values import BodyPolicy, Handler, Head, Pending, Request, Response
from router.ingress.urls import UrlIngress, is_url


class Switchboard:
    """A `Handler` of two."""

    def __init__(self, webhooks: Handler, urls: UrlIngress) -> None:
        self._webhooks = webhooks
        self._urls = urls

    def on_head(self, head: Head) -> Response | BodyPolicy:
        """As `Handler.on_head`."""
        return (self._urls if is_url(head) else self._webhooks).on_head(head)

    def on_request(self, request: Request) -> Response | Pending:
        """As `Handler.on_request`."""
        return (self._urls if is_url(request.head) else self._webhooks).on_request(request)
