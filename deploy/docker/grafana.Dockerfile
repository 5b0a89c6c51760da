# syntax=docker/dockerfile:1
# Grafana with our dashboards and their data source, so that it shows them wherever it runs. The address
# of Prometheus is PROMETHEUS_URL; the interval at which it reads /metrics is PROMETHEUS_INTERVAL.
ARG GRAFANA_VERSION=12.2.0

FROM grafana/grafana:${GRAFANA_VERSION}
# The pipeline adds what only it knows: source and revision (docs/deploy.md).
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="arqon-grafana" \
  org.opencontainers.image.description="Grafana with the dashboards of ArqonBus" \
  org.opencontainers.image.licenses="AGPL-3.0-only AND Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"
ENV PROMETHEUS_URL=http://prometheus:9090 PROMETHEUS_INTERVAL=5s \
  GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH=/usr/share/arqonbus/dashboards/arqonbus-overview.json
# Not below /var/lib/grafana: a volume is mounted there.
COPY deploy/grafana/dashboards/ /usr/share/arqonbus/dashboards/
COPY deploy/docker/grafana_dashboards.yml /etc/grafana/provisioning/dashboards/arqonbus.yml
COPY deploy/docker/grafana_sources.yml /etc/grafana/provisioning/datasources/arqon.yml
USER 472:0
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/api/health"]
