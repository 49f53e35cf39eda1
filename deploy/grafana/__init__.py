"""Dashboards for Grafana: `dashboards.yaml` says what they show, `make dashboards` writes them."""
