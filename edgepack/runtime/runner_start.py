# The runner's __main__.py. In a Python that even 2.7 and 3.6 can read, so that those are told what is missing.
import json
import sys

if sys.version_info < (3, 9):
    found = "%d.%d.%d" % sys.version_info[:3]
    message = "the device's Python is %s (%s); the runner needs 3.9 or newer" % (found, sys.executable)
    print("edgepack-runner " + json.dumps({"status": "failed", "kind": "wrong-python", "message": message}))
    sys.exit(69)

from edgepack.runtime.runner import main

sys.exit(main(sys.argv[0], sys.argv[1:]))
