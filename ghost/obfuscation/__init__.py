"""Making every datagram look like noise: the masked header, the handshake's envelope, and padding."""
