"""Maths of sampling: schedules, samplers, guidance."""
