"""Floor F3: ways to make a picture larger, and faces whole. The table is light; networks import torch when used."""
