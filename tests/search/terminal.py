"""A process that Ctrl-C reaches, as a terminal starts it."""

import signal


def listen_to_ctrl_c():
    """For `preexec_fn`: what a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
