"""One file per command: its parser and its run() together. daemon.py is what `server` and `client` share."""
