"""The real core in virtual time: two endpoints, two links and the traffic of applications, an hour in a few seconds."""
