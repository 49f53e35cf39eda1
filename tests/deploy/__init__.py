"""The files a router is deployed with, each by its own tool; `make check-deploy` runs these."""
