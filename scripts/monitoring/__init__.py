"""What checks the configuration of Prometheus and Grafana against what is exposed."""
