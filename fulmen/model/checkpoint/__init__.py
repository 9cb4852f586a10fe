"""Weights on disk: one file per family of formats. safetensors and JSON only; nothing is ever unpickled."""

from fulmen.model.checkpoint.native import load_model, save_model, verify_folder, write_folder, write_model

__all__ = ["load_model", "save_model", "verify_folder", "write_folder", "write_model"]
