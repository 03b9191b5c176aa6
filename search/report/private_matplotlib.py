"""Import of matplotlib that leaves nothing in the user's home.

On import matplotlib writes a list of the machine's fonts to its cache folder, `~/.cache/matplotlib`. Import this module
before it: the list then goes to a temporary folder, which is removed at once. A user's MPLCONFIGDIR is kept.
"""

import os
import tempfile

if "MPLCONFIGDIR" in os.environ:
    import matplotlib.font_manager
else:
    with tempfile.TemporaryDirectory(prefix="sf-fonts-") as _folder:
        os.environ["MPLCONFIGDIR"] = _folder
        import matplotlib.font_manager
    del os.environ["MPLCONFIGDIR"]
__all__ = ["matplotlib"]
