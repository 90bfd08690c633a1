"""Memory open to one-sided access: arrays that peers read and write, tables read row by row."""
