"""Weights on disk: one file per family of formats. safetensors and JSON only; nothing is ever unpickled."""

from fulmen.model.checkpoint.load import FAMILIES, export_model, load_model
from fulmen.model.checkpoint.native import save_model, verify_folder, write_folder, write_model

__all__ = ["FAMILIES", "export_model", "load_model", "save_model", "verify_folder", "write_folder", "write_model"]
