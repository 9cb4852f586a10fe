"""Numbers that say whether a run is healthy, and bounds that pause one that is not."""

from fulmen.rl.monitors.table import token_table
from fulmen.rl.monitors.watch import Monitors, MonitorSettings

__all__ = ["MonitorSettings", "Monitors", "token_table"]
