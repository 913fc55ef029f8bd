"""Sending files to a destination, by whichever transport it has; only that one's libraries are loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.delivery.destinations import AnyDestination, Destination, WebDestination
from node.delivery.outcome import OutgoingFile, SendOutcome
from node.settings import Settings


def transmit(
    settings: Settings,
    destination: AnyDestination,
    files: Sequence[OutgoingFile],
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> list[SendOutcome]:
    """Send files by C-STORE or STOW-RS; one outcome for each, in order.

    Parameters
    ----------
    go_on
        Asked before each file; once it says no, the rest is not sent.

    Raises
    ------
    PeerUnavailable
        There was no association or connection, so that nothing was sent.
    Misconfigured
        A file with a secret or certificate cannot be used.
    """
    timeouts = settings.delivery
    match destination:
        case Destination():
            from node.dimse.scu import storage

            return storage.send(
                destination,
                files,
                calling_ae_title=settings.receiver.ae_title,
                connect_timeout_s=timeouts.connect_timeout_s,
                response_timeout_s=timeouts.response_timeout_s,
                go_on=go_on,
            )
        case WebDestination():
            from node.dicomweb import stow

            return stow.store(
                destination,
                files,
                connect_timeout_s=timeouts.connect_timeout_s,
                response_timeout_s=timeouts.response_timeout_s,
                go_on=go_on,
            )
