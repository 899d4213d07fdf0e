"""Floor F3: small networks beside a model (LoRA and its kin, textual inversion): files, arithmetic, application."""
