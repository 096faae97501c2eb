"""Which data, code, params and environment led to what: the graph, and the trace of one thing."""

from nbversion.lineage.graph import MAX_NODES, Lineage, LineageBuilder
from nbversion.lineage.tracing import Trace, trace

__all__ = ["MAX_NODES", "Lineage", "LineageBuilder", "Trace", "trace"]
