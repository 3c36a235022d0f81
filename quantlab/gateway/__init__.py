"""A simulated TWS: it speaks the socket protocol on loopback, serves prices and fills orders."""
