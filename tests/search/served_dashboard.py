"""A dashboard as a person starts it, of which a page and its data are asked for; then Ctrl-C.

python tests/search/served_dashboard.py --results FOLDER
"""

import json
import re
import signal
import subprocess
import sys
import urllib.request

from terminal import listen_to_ctrl_c


def main() -> int:
    command = [sys.executable, "-m", "search", "dashboard", "--no-open", *sys.argv[1:]]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - nothing of this process runs in the child
    ) as process:  # fmt: skip
        for line in process.stdout:
            sys.stdout.write(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        for path in ("/", "/_dash-layout", "/_dash-dependencies"):
            with urllib.request.urlopen(found[0] + path, timeout=30) as answer:
                content = answer.read()
                assert answer.status == 200, path
        assert json.loads(content)
        process.send_signal(signal.SIGINT)
        return process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
