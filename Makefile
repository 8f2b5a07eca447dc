PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.10 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test check fmt lint types arch fast test-tf bench clean
