"""Build an empty dashboard with data source, links and alert annotations."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.metrics import check
from deploy.grafana.panels import SOURCE

_TAG: Final = "ticketcap"


def board(uid: str, title: str, since: str = "now-3h") -> dashboard.Dashboard:
    """Return an empty dashboard that shows the time from ``since`` to now."""
    return (
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
        .annotation(_alerts())
    )


def _alerts() -> dashboard.AnnotationQuery:
    expression = 'ALERTS{alertstate="firing"}'
    check(expression)
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color("red")
        .expr(expression)
    )
