"""What extensions written for A1111's web UI import, over our own API for scripts: `docs/extensions.md`."""
