"""A1111's older name of `modules.infotext_utils`."""

from __future__ import annotations

from modules.a1111.infotext_utils import PasteField as PasteField
from modules.a1111.infotext_utils import parse_generation_parameters as parse_generation_parameters
