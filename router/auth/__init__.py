"""Who is asking: signatures of webhook senders and of API clients. Computes, never waits."""
