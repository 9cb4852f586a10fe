"""Counters and histograms of the server, in Prometheus' text format 0.0.4.

Own code: the format is forty lines, and the client library keeps global registries.
"""

import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fulmen.serve.stats import EngineStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TIME_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(kw_only=True)
class Histogram:
    """Durations, counted by upper bound."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(TIME_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def observe(self, duration_s: float) -> None:
        """Counts one duration."""
        self.counts[bisect.bisect_left(TIME_BUCKETS_S, duration_s)] += 1
        self.sum_s += duration_s


@dataclass(kw_only=True)
class Metrics:
    """What the server counts itself; what the engine counts is added when it is written out."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By route and status."""
    finished: Counter[str] = field(default_factory=Counter)
    """Completions by stop reason."""
    num_disconnected: int = 0
    num_open: int = 0
    """Requests for completions that are being served."""
    first_token: Histogram = field(default_factory=Histogram)
    """From the request's arrival to its first token: waiting in the queue and prefill."""
    inter_token: Histogram = field(default_factory=Histogram)
    """Between two deltas of one completion, divided by the tokens of the second."""
    duration: Histogram = field(default_factory=Histogram)

    def text(self, stats: EngineStats) -> str:
        """Returns everything in the exposition format."""
        return "\n".join([*self._server_lines(), *_engine_lines(stats), ""])

    def _server_lines(self) -> Iterator[str]:
        yield from _head("fulmen_http_requests_total", "counter", "Requests by route and status.")
        for (route, status), count in sorted(self.requests.items()):
            yield f'fulmen_http_requests_total{{route="{route}",status="{status}"}} {count}'
        yield from _head("fulmen_completions_total", "counter", "Completions by stop reason.")
        for reason, count in sorted(self.finished.items()):
            yield f'fulmen_completions_total{{stop_reason="{reason}"}} {count}'
        yield from _head("fulmen_disconnects_total", "counter", "Clients that went away before their answer ended.")
        yield f"fulmen_disconnects_total {self.num_disconnected}"
        yield from _head("fulmen_open_requests", "gauge", "Requests for completions being served.")
        yield f"fulmen_open_requests {self.num_open}"
        for name, help_text, histogram in (
            ("fulmen_time_to_first_token_seconds", "Arrival to first token.", self.first_token),
            ("fulmen_inter_token_seconds", "Between two tokens of a completion.", self.inter_token),
            ("fulmen_request_duration_seconds", "Arrival to the end of an answer.", self.duration),
        ):
            yield from _head(name, "histogram", help_text)
            total = 0
            for bound, count in zip((*map(str, TIME_BUCKETS_S), "+Inf"), histogram.counts, strict=True):
                total += count
                yield f'{name}_bucket{{le="{bound}"}} {total}'
            yield f"{name}_sum {histogram.sum_s:.6f}"
            yield f"{name}_count {total}"


def _engine_lines(stats: EngineStats) -> Iterator[str]:
    for name, kind, help_text, value in (
        ("waiting_requests", "gauge", "Completions waiting for a slot.", stats.num_waiting),
        ("running_requests", "gauge", "Completions that have a slot.", stats.num_running),
        ("slots", "gauge", "Completions that can run at once.", stats.num_slots),
        ("blocks_used", "gauge", "Blocks of keys and values in use.", stats.blocks_used),
        ("blocks", "gauge", "Blocks of keys and values.", stats.blocks_total),
        ("snapshots", "gauge", "Snapshots of states kept for later prompts.", stats.snapshots),
        ("snapshot_bytes", "gauge", "Bytes of these snapshots.", stats.snapshot_bytes),
        ("prompt_tokens_total", "counter", "Prompt tokens of finished requests.", stats.prompt_tokens),
        ("cached_tokens_total", "counter", "Prompt tokens that were not computed.", stats.cached_tokens),
        ("completion_tokens_total", "counter", "Tokens drawn for finished requests.", stats.completion_tokens),
        ("preemptions_total", "counter", "Requests put back for lack of blocks.", stats.preemptions),
    ):
        yield from _head(f"fulmen_{name}", kind, help_text)
        yield f"fulmen_{name} {value}"


def _head(name: str, kind: str, help_text: str) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
