"""What a client without the token gets of a cluster: a line for each of its doors, run on the head itself."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

import ray
from ray.job_submission import JobSubmissionClient

DASHBOARD = "http://127.0.0.1:8265"


def main() -> None:
    try:
        ray.init(address=sys.argv[1], log_to_driver=False)
        print("GCS: open")
    except (ConnectionError, ray.exceptions.RayError):
        print("GCS: refused")
    try:
        urllib.request.urlopen(f"{DASHBOARD}/api/version")
        print("dashboard: open")
    except urllib.error.HTTPError as error:
        print(f"dashboard: {error.code}")
    try:
        JobSubmissionClient(DASHBOARD).submit_job(entrypoint="echo mine")
        print("jobs: open")
    except Exception as error:  # its class differs by how far it comes
        print(f"jobs: {'refused' if 'oken' in str(error) else error}")


if __name__ == "__main__":
    main()
