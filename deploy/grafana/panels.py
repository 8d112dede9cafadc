"""Build panels of each kind with their shared settings."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus
from grafana_foundation_sdk.builders.barchart import Panel as BarChartPanel
from grafana_foundation_sdk.builders.gauge import Panel as GaugePanel
from grafana_foundation_sdk.builders.heatmap import FilterValueRange, YAxisConfig
from grafana_foundation_sdk.builders.heatmap import Panel as HeatmapPanel
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeriesPanel
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.metrics import check, without_synthetic

SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${source}")
"""The data source that the reader chose."""

Queries = Mapping[str, str]
"""PromQL expressions by the legend of their series."""

Thresholds = Sequence[tuple[float | None, str]]
"""Pairs of a lower bound (None: no bound) and the colour from there on."""

HALF: Final = 12
THIRD: Final = 8
FULL: Final = 24

_Panel = TypeVar("_Panel", BarChartPanel, GaugePanel, HeatmapPanel, StatPanel, TimeSeriesPanel)


def without_variables(expression: str) -> str:
    """Return an expression as Grafana sends it to Prometheus."""
    return expression.replace("$__rate_interval", "5m")


def time_series(
    title: str,
    description: str,
    queries: Queries,
    *,
    unit: str = "short",
    limit: float | None = None,
    stacked: bool = False,
    span: int = HALF,
    exemplars: bool = False,
) -> Builder[model.Panel]:
    """Return a graph over time; the part above ``limit`` is red, and ``exemplars`` link points to their traces."""
    stacking = common_model.StackingMode.NORMAL if stacked else common_model.StackingMode.NONE
    panel = (
        _common(TimeSeriesPanel(), title, description, span)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(40 if stacked else 8)
        .show_points(common_model.VisibilityMode.NEVER)
        .stacking(common.StackingConfig().mode(stacking))
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.TABLE)
            .placement(common_model.LegendPlacement.BOTTOM)
            .calcs(["mean", "max", "lastNotNull"])
            .show_legend(show_legend=True)
        )
        .tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI))
        .targets([target.exemplar(exemplars) for target in _targets(queries)])
    )
    if limit is not None:
        area = common_model.GraphThresholdsStyleMode.LINE_AND_AREA
        panel.thresholds(_thresholds([(None, "transparent"), (limit, "red")]))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(area))
    return panel


def percentiles(
    title: str,
    description: str,
    metric: str,
    *,
    by: str = "",
    where: str = "",
    window: str = "5m",
    unit: str = "s",
    limit: float | None = None,
    span: int = HALF,
) -> Builder[model.Panel]:
    """Return p50, p95 and p99 of a histogram over time, one line per value of the label ``by``."""
    rate = f"rate({_buckets(metric, where)}[{window}])"
    grouped, suffix = (f"{by}, le", f" {{{{{by}}}}}") if by else ("le", "")
    queries = {
        f"{name}{suffix}": f"histogram_quantile({share}, sum by ({grouped}) ({rate}))"
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return time_series(title, description, queries, unit=unit, limit=limit, span=span, exemplars=True)


def gauge(title: str, description: str, queries: Queries, thresholds: Thresholds) -> Builder[model.Panel]:
    """Return a gauge from 0 to 100 percent."""
    return (
        _common(GaugePanel(), title, description)
        .unit("percent")
        .min(0)
        .max(100)
        .thresholds(_thresholds(thresholds))
        .show_threshold_labels(show_threshold_labels=True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .targets([target.instant() for target in _targets(queries)])
    )


def stats(
    title: str,
    description: str,
    queries: Queries,
    thresholds: Thresholds,
    *,
    unit: str = "short",
    span: int = THIRD,
) -> Builder[model.Panel]:
    """Return one big number per series, coloured by its thresholds."""
    return (
        _common(StatPanel(), title, description, span, height=5)
        .unit(unit)
        .no_value("0")
        .thresholds(_thresholds(thresholds))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .targets([*_targets(queries)])
    )


def bar_chart(
    title: str, description: str, queries: Queries, *, by: str, unit: str, limit: float
) -> Builder[model.Panel]:
    """Return a bar per current value of the label ``by``; a bar is red from ``limit`` on."""
    return (
        _common(BarChartPanel(), title, description)
        .unit(unit)
        .min(0)
        .max(1)
        .orientation(common_model.VizOrientation.HORIZONTAL)
        .x_field(by)
        .with_transformation(model.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}}))
        .thresholds(_thresholds([(None, "green"), (limit, "red")]))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .targets([target.instant().format(PromQueryFormat.TABLE) for target in _targets(queries)])
    )


def heatmap(title: str, description: str, metric: str, *, where: str = "", span: int = HALF) -> Builder[model.Panel]:
    """Return the heatmap of a histogram of seconds."""
    queries = {"{{le}}": f"sum by (le) (increase({_buckets(metric, where)}[$__rate_interval]))"}
    return (
        _common(HeatmapPanel(), title, description, span)
        .y_axis(YAxisConfig().unit("s"))
        # The default hides cells below 1e-09, a number that each language writes differently: the file would change
        # with the program that saves it. No cell lies between that number and zero.
        .filter_values(FilterValueRange().le(0))
        .targets([target.format(PromQueryFormat.HEATMAP) for target in _targets(queries)])
    )


def _common(panel: _Panel, title: str, description: str, span: int = HALF, height: int = 8) -> _Panel:
    return panel.title(title).description(description).datasource(SOURCE).span(span).height(height)


def _buckets(metric: str, where: str) -> str:
    return f"{metric}_bucket{{{where}}}" if where else f"{metric}_bucket"


def _thresholds(steps: Thresholds) -> Builder[model.ThresholdsConfig]:
    thresholds = [model.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(thresholds)


def _targets(queries: Queries) -> list[prometheus.Dataquery]:
    """Return the panel's queries; raise UnknownMetric or ValueError for one that Prometheus could not answer."""
    targets = []
    for ref_id, (legend, query) in zip(ascii_uppercase, queries.items(), strict=False):
        expression = without_synthetic(query)
        check(without_variables(expression))
        target = prometheus.Dataquery().ref_id(ref_id).expr(expression).legend_format(legend)
        targets.append(target.exemplar(exemplar=False).datasource(SOURCE))
    return targets
