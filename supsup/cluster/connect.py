"""Finding Ray and a cluster, or saying in one line why there is none."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from maskstore.errors import InvalidInput

_ANSWER_SECONDS = 5.0
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no reports to its makers
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # no news of lost workers on stdout, which may be JSON
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # no warning that this will be the default
}
"""What Ray reads from the environment when it is imported, and by all that it starts."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """The module ``ray``, connected; what it still runs for us ends with the connection.

    Args:
        address: as in :class:`supsup.cluster.RayCluster`.

    Raises:
        InvalidInput: Ray is not installed, or there is no cluster at the address.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise InvalidInput("Ray is not installed: pip install 'supsup-store[ray]'") from error
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    if address not in ("auto", "local"):
        _check_answers(address, ray.util.get_node_ip_address())
    local = address == "local"
    try:
        ray.init(
            address=address,
            include_dashboard=False if local else None,  # nobody looks at it; seconds of CPU
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray has no class for these; a slow start is a plain Exception
        ray.shutdown()  # what did start of one
        reason = str(error).strip().splitlines()[0]
        hint = (
            "cannot be started ({reason}); try again when the machine is less busy"
            if local
            else "cannot be joined ({reason}); start it with `ray start --head`, and run this on "
            "one of its machines"
        )
        raise InvalidInput(f"Ray cluster {address!r}: {hint.format(reason=reason)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str, own: str) -> None:
    """Raise InvalidInput unless something listens; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise InvalidInput(
            f"Ray cluster: expected HOST:PORT, auto or local as the address, got {address!r}"
        )
    # Ray takes a loopback address for this machine's own.
    host = own if host in _LOOPBACK else host
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InvalidInput(
            f"Ray cluster {address!r}: nothing answers at {host} port {port} ({error}); "
            "is `ray start --head` running there?"
        ) from error
