"""Bootstrap: how nodes on different hosts find, check and describe each other, by gRPC.

It knows no other plane: plain messages in, plain messages out. Nothing here carries a payload.
grpcio is an extra (`pip install rdmaq[net]`) and is imported when a host and port are used.
"""
