"""What the clients in Python print: one JSON object, as loadtests/percentiles.lua does."""

import json

from parse import percentile


def print_result(milliseconds: list[float], seconds: float, errors: int = 0) -> None:
    ordered = sorted(milliseconds)
    result = {
        "p50_ms": round(percentile(ordered, 50), 3),
        "p99_ms": round(percentile(ordered, 99), 3),
        "p999_ms": round(percentile(ordered, 99.9), 3),
        "requests": len(ordered),
        "requests_per_second": round(len(ordered) / seconds),
        "errors": errors,
        "error_statuses": 0,
    }
    print(json.dumps(result), flush=True)
