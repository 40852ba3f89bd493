"""Pictures in formats that are not read here, and what reads them: such files are listed, not passed over."""

import os
from pathlib import Path

_HEIC = "is a HEIC picture; install pillow-heif and call pillow_heif.register_heif_opener() first"
_DICOM = "is DICOM; read it with pydicom and give its pixels as arrays, likethat.Images([...])"
_SVG = "is a drawing (SVG); turn it into PNG, for instance with CairoSVG"
_RAW = "is a camera's raw file; develop it with rawpy and give arrays, or export JPEG"
_FILM = "is a film; take pictures out of it, for instance with ffmpeg or PyAV"
_JXL = "is JPEG XL; install pillow-jxl-plugin and import pillow_jxl first"
_VOLUME = "is a volume (NIfTI); read slices of it with nibabel and give arrays, likethat.Images([...])"
_SLIDE = "is a microscope's file; read tiles of it with openslide or bioio and give arrays, likethat.Images([...])"
_PROGRAM = "is PostScript, a program that draws; save it as PNG"
_EXR = "is OpenEXR; read it with OpenEXR or imageio and give arrays in [0, 1], likethat.Images([...])"

_BY_ENDING = {
    **dict.fromkeys((".heic", ".heif", ".hif"), _HEIC),
    **dict.fromkeys((".avif", ".avifs"), "is AVIF, which this Pillow does not read: upgrade Pillow"),
    **dict.fromkeys((".dcm", ".dicom", ".dic"), _DICOM),
    **dict.fromkeys((".svg", ".svgz"), _SVG),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"), _RAW),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"), _FILM),
    **dict.fromkeys((".jxl",), _JXL),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".nrrd"), _VOLUME),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".nd2", ".lif"), _SLIDE),
    **dict.fromkeys((".eps", ".ps"), _PROGRAM),
    **dict.fromkeys((".exr",), _EXR),
}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_ENOUGH = 512  # bytes: DICOM's mark stands at 128, and an SVG's element after a declaration and a comment


def why_unread(name: str) -> str | None:
    """Return what a file is that is a picture (or holds some) and is not read here, by its ending; None for others.

    Example:
        >>> why_unread("IMG_0001.HEIC")[:18], why_unread("notes.txt")
        ('is a HEIC picture;', None)
    """
    lower = name.lower()
    return next((what for ending, what in _BY_ENDING.items() if lower.endswith(ending)), None)


def why_content_unread(file: str | os.PathLike[str]) -> str | None:
    """Return the same by a file's first bytes, whatever it is called; None where they say nothing."""
    try:
        with Path(file).open("rb") as stream:
            start = stream.read(_ENOUGH)
    except OSError:
        return None
    signs = (
        (start[128:132] == b"DICM", _DICOM),
        (start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS, _HEIC),
        (start.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")), _JXL),
        (start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<svg" in start, _SVG),
        (start.startswith(b"%!PS"), _PROGRAM),
    )
    return next((what for is_so, what in signs if is_so), None)
