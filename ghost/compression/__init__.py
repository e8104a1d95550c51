"""Making inner packets smaller before anything else happens to them."""
