"""Build panels of each kind with their shared settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    gauge,
    heatmap,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.metrics import check

SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${source}")
"""The data source that the reader chose."""

Threshold = tuple[float | None, str]
"""A lower bound (None: no bound) and the colour from there on."""

HALF: Final = 12
THIRD: Final = 8
FULL: Final = 24


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and the legend of its series. ``exemplars`` puts traces on the graph."""

    expression: str
    legend: str
    exemplars: bool = False

    def __post_init__(self) -> None:
        check(without_variables(self.expression))


def without_variables(expression: str) -> str:
    """Return an expression as Grafana sends it to Prometheus."""
    return expression.replace("$__rate_interval", "5m")


def quantiles(metric: str, *, by: str = "", where: str = "", window: str = "5m") -> list[Query]:
    """Return p50, p95 and p99 of a histogram, ``by`` a label when one is named."""
    selector = f"{metric}_bucket{{{where}}}" if where else f"{metric}_bucket"
    grouped = f"{by}, le" if by else "le"
    named = f" {{{{{by}}}}}" if by else ""
    return [
        Query(
            f"histogram_quantile({share}, sum by ({grouped}) (rate({selector}[{window}])))",
            name + named,
            exemplars=True,
        )
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]


def lines(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str = "short",
    limit: float | None = None,
    stacked: bool = False,
    span: int = HALF,
) -> Builder[model.Panel]:
    """Return a time series; with ``limit`` the part above it is drawn red."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(span)
        .height(8)
        .line_width(1)
        .fill_opacity(40 if stacked else 8)
        .show_points(common_model.VisibilityMode.NEVER)
        .stacking(common.StackingConfig().mode(_stacking(stacked=stacked)))
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.TABLE)
            .placement(common_model.LegendPlacement.BOTTOM)
            .calcs(["mean", "max", "lastNotNull"])
            .show_legend(show_legend=True)
        )
        .tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI))
    )
    if limit is not None:
        panel = panel.thresholds(_thresholds([(None, "transparent"), (limit, "red")])).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_model.GraphThresholdsStyleMode.LINE_AND_AREA)
        )
    for target in _targets(queries):
        panel = panel.with_target(target)
    return panel


def dial(title: str, description: str, query: Query, thresholds: Sequence[Threshold]) -> Builder[model.Panel]:
    """Return a gauge from 0 to 100 percent."""
    return (
        gauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("percent")
        .min(0)
        .max(100)
        .span(HALF)
        .height(8)
        .thresholds(_thresholds(thresholds))
        .show_threshold_labels(show_threshold_labels=True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query, "A").instant())
    )


def numbers(
    title: str,
    description: str,
    queries: Sequence[Query],
    thresholds: Sequence[Threshold],
    *,
    unit: str = "short",
    span: int = THIRD,
) -> Builder[model.Panel]:
    """Return one big number per series, coloured by its thresholds."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(5)
        .no_value("0")
        .thresholds(_thresholds(thresholds))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    for target in _targets(queries):
        panel = panel.with_target(target)
    return panel


def bars(title: str, description: str, query: Query, *, by: str, unit: str, limit: float) -> Builder[model.Panel]:
    """Return a bar per current value of the label ``by``; a bar is red from ``limit`` on."""
    return (
        barchart.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .max(1)
        .span(HALF)
        .height(8)
        .orientation(common_model.VizOrientation.HORIZONTAL)
        .x_field(by)
        .with_transformation(model.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}}))
        .thresholds(_thresholds([(None, "green"), (limit, "red")]))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .with_target(_target(query, "A").instant().format(PromQueryFormat.TABLE))
    )


def heat(title: str, description: str, metric: str, *, where: str = "", span: int = HALF) -> Builder[model.Panel]:
    """Return the heatmap of a histogram of seconds."""
    selector = f"{metric}_bucket{{{where}}}" if where else f"{metric}_bucket"
    query = Query(f"sum by (le) (increase({selector}[$__rate_interval]))", "{{le}}")
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(8)
        .y_axis(heatmap.YAxisConfig().unit("s"))
        # The default hides cells below 1e-09, a number that each language writes differently: the file would change
        # with the program that saves it. No cell lies between that number and zero.
        .filter_values(heatmap.FilterValueRange().le(0))
        .with_target(_target(query, "A").format(PromQueryFormat.HEATMAP))
    )


def _stacking(*, stacked: bool) -> common_model.StackingMode:
    return common_model.StackingMode.NORMAL if stacked else common_model.StackingMode.NONE


def _thresholds(steps: Sequence[Threshold]) -> Builder[model.ThresholdsConfig]:
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


def _targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [_target(query, chr(ord("A") + number)) for number, query in enumerate(queries)]


def _target(query: Query, ref_id: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(ref_id).expr(query.expression).legend_format(query.legend)
    return target.exemplar(query.exemplars).datasource(SOURCE)
