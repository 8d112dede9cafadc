"""Name the version that every package and every signal reports."""

VERSION = "0.1.0"
