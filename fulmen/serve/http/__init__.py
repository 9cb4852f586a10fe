"""The OpenAI-compatible HTTP server."""

from fulmen.serve.http.app import AppSettings, create_app
from fulmen.serve.http.gate import GateSettings

__all__ = ["AppSettings", "GateSettings", "create_app"]
