"""What all of these programs do: named checks, each of which passes or says why not."""

import os
import sys
import threading
import traceback

HOST, PORT = os.environ["PGHOST"], int(os.environ["PGPORT"])
USER, PASSWORD, DATABASE = os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGDATABASE"]
CA = os.environ.get("TLS_CA", "")  # empty: the server has no TLS


def report(name, failure=None):
    if failure is None:
        print(f"pass {name}", flush=True)
    else:
        traceback.print_exception(failure, file=sys.stderr)
        print(f"fail {name} {type(failure).__name__}: " + " ".join(str(failure).split())[:300], flush=True)


def check(function):
    """Runs it at once, under its name."""
    try:
        function()
        report(function.__name__)
    except Exception as failure:
        report(function.__name__, failure)
    return function


def at_once(count, work):
    """Runs work(n) in threads of their own; the first failure is raised."""
    failures = []

    def run(n):
        try:
            work(n)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
