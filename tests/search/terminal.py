"""A process that signals reach, as a terminal starts it."""

import signal


def listen_to_ctrl_c():
    """For `preexec_fn`: what a shell starts in the background ignores SIGINT, below nohup SIGHUP; so do children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
