"""Build a dashboard with data source, links and alert annotations."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.panels import SOURCE

_TAG: Final = "ticketcap"


def board(uid: str, title: str, *panels: Builder[model.Panel], since: str = "now-3h") -> model.Dashboard:
    """Return a dashboard that shows the time from ``since`` to now."""
    builder = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags([_TAG])
        .time(since, "now")
        .timezone("Asia/Jerusalem")
        .refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(dashboard.DatasourceVariable("source").label("Metrics").type("prometheus"))
        .link(
            dashboard.DashboardLink("TicketCap")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .as_dropdown(as_dropdown=True)
            .keep_time(keep_time=True)
        )
        .annotation(
            dashboard.AnnotationQuery()
            .name("Alerts")
            .datasource(SOURCE)
            .enable(enable=True)
            .icon_color("red")
            .expr('ALERTS{alertstate="firing"}')
        )
    )
    for panel in panels:
        builder.with_panel(panel)
    built = builder.build()
    # Grafana numbers panels without a number by itself; the saved dashboard would then differ from the file.
    for number, built_panel in enumerate(built.panels or [], start=1):
        built_panel.id_val = number
    return built
