"""Market data on rdmaq streams: captures, MoldUDP64, A/B arbitration, ITCH 5.0, `rdmaq-md`.

Everything here stands on the public API of rdmaq. The way of a message:

    capture file ─ frames ─ datagrams ─ MoldUDP64 packets ─ arbiter ─ stream ─ subscribers
    (or synthetic) capture   datagrams   moldudp64           arbiter   feed     subscriber
"""
