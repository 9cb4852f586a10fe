"""The OpenAI-compatible HTTP server."""

from fulmen.serve.http.app import AppSettings, create_app
from fulmen.serve.http.gate import GateSettings
from fulmen.serve.http.server import ServerSettings, bind, serve, url_of

__all__ = ["AppSettings", "GateSettings", "ServerSettings", "bind", "create_app", "serve", "url_of"]
