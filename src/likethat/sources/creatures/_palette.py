"""The colours of the storybook."""

from likethat.sources.creatures._brush import hexes

CORAL = hexes("EE7B5E")
MUSTARD = hexes("EFB948")
TEAL = hexes("3F9C97")
NAVY = hexes("3A4C7A")
CREAM = hexes("FFF1D2")
ROSE = hexes("F0A3AC")
PLUM = hexes("8C5A94")
SAGE = hexes("93BA77")
RUST = hexes("BF5A3C")
SKY = hexes("8CC0E0")
COCOA = hexes("7D5642")
SLATE = hexes("66758C")
INK = hexes("2B2433")
WHITE = hexes("FFFFFF")
LILAC = hexes("C9A6D6")
SAND = hexes("E3C08F")
