"""Write Grafana's dashboards (``make dashboards``)."""
