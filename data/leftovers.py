"""Leftovers of operating systems, of editors and of file synchronization, which are no files of the user's."""

import re

# macOS: `._name` beside a file on a foreign file system (AppleDouble), .DS_Store and the like; __MACOSX in archives.
# Windows: Thumbs.db, desktop.ini, $RECYCLE.BIN. Linux: .directory, .nfs..., .fuse_hidden..., .Trash-1000, lost+found.
# Editors, downloads, synchronization (Synology's @eaDir, Syncthing, Dropbox): partial, backup and conflicting copies.
_NAME = re.compile(
    r"\._.*|\.DS_Store|\.AppleDouble|\.Spotlight-.*|\.fseventsd|\.TemporaryItems|\.Trash.*|\.localized|__MACOSX|Icon\r"
    r"|Thumbs\.db.*|ehthumbs.*\.db|desktop\.ini|\$RECYCLE\.BIN|System Volume Information"
    r"|\.directory|\.nfs[0-9a-f]+|\.fuse_hidden.*|lost\+found"
    r"|.*~|.*\.(?:tmp|temp|swp|swo|swx|part|partial|crdownload|bak)|\.#.*|#.*#|~\$.*|\.~.*|\.goutputstream-.*"
    r"|@eaDir|#recycle|#snapshot|@Recycle|@tmp|\.stfolder|\.stversions|\.syncthing\..*|.*\.sync-conflict-.*"
    r"|\.dropbox(?:\..*)?|\..*\.icloud",
    re.IGNORECASE | re.DOTALL,
)


def is_leftover(name: str) -> bool:
    """Whether the name of a file or a folder is that of a leftover.

    >>> [is_leftover(name) for name in ("._bus.wav", "Thumbs.db", "bus.sync-conflict-20240501-101112-ABCDEFG.wav")]
    [True, True, True]
    >>> [is_leftover(name) for name in ("bus.wav", "_bus.wav", ".hidden.wav", "tmp.wav")]
    [False, False, False, False]
    """
    return _NAME.fullmatch(name) is not None
