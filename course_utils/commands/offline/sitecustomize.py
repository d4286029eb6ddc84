"""Lets a Python process reach this machine only. Active where this folder stands on PYTHONPATH; children inherit it.

Python imports a module of this name at its start. An audit hook sees every connection that Python code opens,
cannot be taken off again, and needs no change to the socket module. Programs such as curl are not held.
"""

import errno
import importlib.util
import ipaddress
import os
import socket
import sys
from importlib.machinery import PathFinder

HOST_EVENTS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
ADDRESS_EVENTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
HERE = os.path.dirname(os.path.abspath(__file__))


def is_local(host):
    """True for this machine: a loopback address, `localhost`, no host at all, or 'any address' (0.0.0.0, ::)."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost") or host == socket.gethostname():
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def guard(event, arguments):
    """Audit hook: raise OSError for a connection or a name look-up that leaves this machine."""
    if event in HOST_EVENTS:
        if not is_local(arguments[0]):
            raise socket.gaierror(socket.EAI_FAIL, f"the network is blocked here: no look-up of {arguments[0]!r}")
    elif event in ADDRESS_EVENTS:
        address = arguments[1]
        # A Unix socket has a path (text or bytes) for an address, a connected one none: both stay on this machine.
        if isinstance(address, tuple) and not is_local(address[0]):
            raise OSError(errno.ENETUNREACH, f"the network is blocked here: no connection to {address[0]!r}")


def run_shadowed():
    """Run the sitecustomize that this one hides: some systems and some environments bring their own."""
    elsewhere = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != HERE]
    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    sys.addaudithook(guard)
    run_shadowed()
