"""The dashboard: a model of what a daemon told, painters from it to lines, screens, one file for the terminal."""
