"""Build the dashboard of gRPC calls and processes."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, Query, heat, lines, quantiles

_SERVER = "rpc_server_call_duration_seconds"
_CLIENT = "rpc_client_call_duration_seconds"
_OURS = 'rpc_method=~"ticketcap.+"'


def rpc() -> Dashboard:
    """Return the dashboard of calls, errors and durations, from both sides, and each process's load."""
    return (
        board("ticketcap-rpc", "TicketCap RPC")
        .with_panel(
            lines(
                "Calls per second",
                "As the servers count them.",
                [Query(f"sum by (rpc_method) (rate({_SERVER}_count{{{_OURS}}}[5m]))", "{{rpc_method}}")],
                unit="reqps",
            )
        )
        .with_panel(
            lines(
                "Answers that are not OK",
                "By status. RESOURCE_EXHAUSTED is a full queue, FAILED_PRECONDITION a rule; neither is an error.",
                [
                    Query(
                        f"sum by (job, rpc_response_status_code) "
                        f'(rate({_SERVER}_count{{{_OURS}, rpc_response_status_code!="OK"}}[5m]))',
                        "{{job}} {{rpc_response_status_code}}",
                    )
                ],
                unit="reqps",
            )
        )
        .with_panel(lines("Server p50, p95, p99", "Per service.", quantiles(_SERVER, by="job", where=_OURS), unit="s"))
        .with_panel(
            lines(
                "Client p50, p95, p99",
                "Per calling service; the difference from the server's figure is network and waiting.",
                quantiles(_CLIENT, by="job", where=_OURS),
                unit="s",
            )
        )
        .with_panel(heat("Durations", "All calls, as the servers measure them.", _SERVER, where=_OURS, span=FULL))
        .with_panel(
            lines(
                "Event loop lag (p99)",
                "How late the loop runs due work. An alert fires above a quarter of a second.",
                [
                    Query(
                        "histogram_quantile(0.99, sum by (job, instance, le) (rate(eventloop_lag_seconds_bucket[5m])))",
                        "{{job}} {{instance}}",
                    )
                ],
                unit="s",
                limit=0.25,
            )
        )
        .with_panel(
            lines(
                "Processors used",
                "1 is a whole core, the most that a Python process can use.",
                [Query("process_cpu_utilization", "{{job}} {{instance}}")],
                limit=0.9,
            )
        )
        .with_panel(
            lines(
                "Memory",
                "Resident memory per process.",
                [Query("process_memory_usage_bytes", "{{job}} {{instance}}")],
                unit="bytes",
            )
        )
        .with_panel(
            lines(
                "Open files",
                "Files and sockets: a rise without end is a leak.",
                [Query("process_open_file_descriptors", "{{job}} {{instance}}")],
            )
        )
    )
