"""Build the dashboard of gRPC calls and processes."""

from typing import Final

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, heatmap, percentiles, time_series

_SERVER: Final = "rpc_server_call_duration_seconds"
_CLIENT: Final = "rpc_client_call_duration_seconds"
_TICKETCAP: Final = 'rpc_method=~"ticketcap.+"'

RPC: Final = board(
    "ticketcap-rpc",
    "TicketCap RPC",
    time_series(
        "Calls per second",
        "As the servers count them.",
        {"{{rpc_method}}": f"sum by (rpc_method) (rate({_SERVER}_count{{{_TICKETCAP}}}[5m]))"},
        unit="reqps",
    ),
    time_series(
        "Answers that are not OK",
        "By status. RESOURCE_EXHAUSTED is a full queue, FAILED_PRECONDITION a rule; neither is an error.",
        {
            "{{job}} {{rpc_response_status_code}}": (
                f"sum by (job, rpc_response_status_code) "
                f'(rate({_SERVER}_count{{{_TICKETCAP}, rpc_response_status_code!="OK"}}[5m]))'
            )
        },
        unit="reqps",
    ),
    percentiles("Server p50, p95, p99", "Per service.", _SERVER, by="job", where=_TICKETCAP),
    percentiles(
        "Client p50, p95, p99",
        "Per calling service; the difference from the server's figure is network and waiting.",
        _CLIENT,
        by="job",
        where=_TICKETCAP,
    ),
    heatmap("Durations", "All calls, as the servers measure them.", _SERVER, where=_TICKETCAP, span=FULL),
    time_series(
        "Event loop lag (p99)",
        "How late the loop runs due work. An alert fires above a quarter of a second.",
        {
            "{{job}} {{instance}}": (
                "histogram_quantile(0.99, sum by (job, instance, le) (rate(eventloop_lag_seconds_bucket[5m])))"
            )
        },
        unit="s",
        limit=0.25,
    ),
    time_series(
        "Processors used",
        "1 is a whole core, the most that a Python process can use.",
        {"{{job}} {{instance}}": "process_cpu_utilization"},
        limit=0.9,
    ),
    time_series(
        "Memory", "Resident memory per process.", {"{{job}} {{instance}}": "process_memory_usage_bytes"}, unit="bytes"
    ),
    time_series(
        "Open files",
        "Files and sockets: a rise without end is a leak.",
        {"{{job}} {{instance}}": "process_open_file_descriptors"},
    ),
)
