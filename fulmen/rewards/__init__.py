"""Verifiers of answers: text in, verdict out; they never import torch and never evaluate model text as code."""
