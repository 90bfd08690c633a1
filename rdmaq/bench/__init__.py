"""`rdmaq bench`: how fast it is on this machine, beside what it is compared with."""
