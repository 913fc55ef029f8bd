"""`hilum echo`: whether destinations are there."""

from __future__ import annotations

from rich.console import Console

from node.delivery.destinations import AnyDestination, Destination, WebDestination
from node.errors import HilumError, Misconfigured
from node.settings import Settings


def ask(settings: Settings, name: str | None, console: Console) -> bool:
    """Ask one destination, or all, and print the answers; return whether every one of them answered.

    Raises
    ------
    Misconfigured
        There is no such destination, or none at all.
    """
    if name is not None and name not in settings.destinations:
        known = ", ".join(settings.destinations) or "none configured"
        raise Misconfigured(f"no destination named {name!r}; there are: {known}")
    if not settings.destinations:
        raise Misconfigured("no destination is configured (settings `destinations`)")
    answered = True
    for key, destination in settings.destinations.items():
        if name not in (None, key):
            continue
        where = f"{key} ({destination.address})"
        try:
            _echo(settings, destination)
            console.print(f"[green]answers[/]: {where}")
        except HilumError as error:
            answered = False
            console.print(f"[red]no answer[/]: {where}: {error}")
    return answered


def _echo(settings: Settings, destination: AnyDestination) -> None:
    """Ask one destination whether it is there."""
    from node.dicomweb import stow
    from node.dimse.scu import verification

    timeout_s = settings.delivery.connect_timeout_s
    match destination:
        case Destination():
            verification.echo(destination, calling_ae_title=settings.receiver.ae_title, timeout_s=timeout_s)
        case WebDestination():
            stow.echo(destination, timeout_s=timeout_s)
