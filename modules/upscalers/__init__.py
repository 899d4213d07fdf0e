"""Floor F3: ways to make a picture larger. The table is light; the latent ones import torch when used."""
