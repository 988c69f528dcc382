"""Tests: they mirror the packages, and run in any order."""
