"""Every setting of the node, its default and its meaning; the only place where the environment is read.

Order of precedence: environment (`HILUM_RECEIVER__PORT=11113`), then the YAML file named by `HILUM_CONFIG` (or
`--config`), then the defaults below. Unknown keys are refused. docs/configuration.md is generated from this module.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import entry_points
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from node.delivery.certificates import PeerCertificates
from node.delivery.destinations import AETitle, AnyDestination, Destination, Network, SettingsSection, TLSFiles
from node.delivery.profiles import BUILT_IN, Profile
from node.dicom.ages import OLDEST_YEARS
from node.errors import Misconfigured

_NOTIFY_SOCKET = "NOTIFY_SOCKET"

PIPELINES: Final = "hilum.pipelines"
"""Group of the entry points that name the pipelines."""
DEFAULT_PIPELINE: Final = "chest"
NO_PIPELINE: Final = "none"


def _threshold_or_name(value: object) -> float | str:
    """Take a number from 0 to 1, or a text; neither true nor NaN is such a number."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"{value!r} is neither a threshold from 0 to 1 nor the name of an operating point")


Threshold = Annotated[float | str, BeforeValidator(_threshold_or_name)]
"""A threshold of one label of a bundle, or the name of another operating point of its manifest."""


def _loopback() -> list[Network]:
    return [ip_network("127.0.0.0/8"), ip_network("::1/128")]


class ReceiverSettings(SettingsSection):
    """The Storage SCP: where it listens and whom it lets in."""

    ae_title: AETitle = "HILUM"
    """Called AE Title of the node; an association for another title is refused (A-ASSOCIATE-RJ 1/1/7)."""
    host: str = "127.0.0.1"
    """Address to listen on. Only loopback by default; `0.0.0.0` opens every interface."""
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    """TCP port; 0 takes a free one."""
    processes: Annotated[int, Field(ge=1, le=16)] = 2
    """Receiver processes that share the port (SO_REUSEPORT)."""
    allowed_networks: list[Network] = Field(default_factory=_loopback)
    """Networks (CIDR) whose addresses may open an association; anything else is refused."""
    allowed_calling_ae_titles: list[AETitle] = Field(default_factory=list)
    """Calling AE Titles let in (A-ASSOCIATE-RJ 1/1/3 otherwise). Empty: every title from the allowed networks."""
    maximum_associations: Annotated[int, Field(ge=1, le=500)] = 25
    """Associations open at once in each process; one more is refused as transient (A-ASSOCIATE-RJ 2/3/2)."""
    share_of_one_address: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Largest part of `maximum_associations`, and of `maximum_pending_connections`, that one address may have; one more
    is refused in the same way. 1 where all senders come from one address."""
    maximum_object_bytes: Annotated[int, Field(ge=1 << 16)] = 1 << 30
    """Longest data set that is taken; a longer one is answered 0xA700 with a comment, and nothing of it is kept."""
    maximum_pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 24)] = 131072
    """Largest PDU that peers may send."""
    network_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Silence on an open association after which it is aborted."""
    dimse_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Longest time for one DIMSE message; a large one may take longer while it comes at 16 KiB/s or more."""
    association_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """Longest time from a TCP connection to its A-ASSOCIATE-RQ, TLS handshake included (ARTIM, PS3.8 section 9.1.5)."""
    without_object_s: Annotated[float, Field(gt=0)] = 300.0
    """Longest time that an association may go on without an object that was stored; then it is aborted, however many
    C-ECHO or refused requests came."""
    maximum_pending_connections: Annotated[int, Field(ge=1, le=1000)] = 64
    """TCP connections without association in each process; one more is closed at once."""
    decoders: list[str] | None = None
    """Decoder modules that the workers have (`gdcm`, `openjpeg`, `jpeg_ls`, `PIL`, `libjpeg`); a transfer syntax that
    none of them decodes is not accepted. None: those that the `worker` extra installs."""
    tls: TLSFiles = TLSFiles()
    peer_certificates: PeerCertificates = Field(default_factory=dict)
    """Which certificate may use which calling AE Title: `{ROUTER: ["CN=router,O=Hospital"], PACS: ["DNS:pacs.local"]}`.
    Each is named by its subject (RFC 4514, as `openssl x509 -noout -subject -nameopt RFC2253` writes it), by a subject
    alternative name (`DNS:`, `IP:`, `email:`, `URI:`), or by its `sha256:`. Every other title and certificate is
    refused (A-ASSOCIATE-RJ 1/1/3). Empty: every certificate of `tls.ca` may use every title."""

    @model_validator(mode="after")
    def _certificates_are_shown(self) -> ReceiverSettings:
        if self.peer_certificates and not self.tls.enabled:
            raise ValueError("peer_certificates: without tls.certificate, tls.key and tls.ca nobody shows one")
        return self


class SpoolSettings(SettingsSection):
    """The disk: received objects, quarantine and results."""

    minimum_free_bytes: Annotated[int, Field(ge=0)] = 2 << 30
    """Below this much free space new associations are refused and stores answered 0xA700 (out of resources)."""
    maximum_object_bytes: Annotated[int, Field(ge=1 << 16)] = 512 << 20
    """Largest object that is taken for analysis; a larger one goes to quarantine."""


class CompletionSettings(SettingsSection):
    """When a study counts as complete. The first rule that holds closes it, and its name is recorded."""

    release_s: Annotated[float, Field(ge=0)] = 2.0
    """Seconds without a new image after every association that sent one was released cleanly."""
    quiet_s: Annotated[float, Field(ge=0)] = 15.0
    """Seconds without a new image when an association is still open or was aborted."""
    cap_s: Annotated[float, Field(gt=0)] = 600.0
    """Seconds after the first image of a revision at which it closes in any case."""
    count_from: str | None = None
    """Destination to ask (C-FIND) how many instances the study has; equal to ours: complete. None: do not ask."""
    late_revisions: Annotated[int, Field(ge=1)] = 3
    """Revisions of one study within an hour that are closed by these rules alone; each further one waits longer."""
    late_s: Annotated[float, Field(ge=0)] = 60.0
    """Seconds without a new image before the first of these may close; twice as long for each one after it."""

    def late_pause_s(self, recent: int) -> float:
        """Return how long no image may have come before another revision closes, after so many in an hour."""
        return self.late_s * 2.0 ** (recent - self.late_revisions) if recent >= self.late_revisions else 0.0


class DeliverySettings(SettingsSection):
    """How results go back, and for how long."""

    retry_for_s: Annotated[float, Field(gt=0)] = 3 * 86400.0
    """Time after which an undelivered result becomes a dead letter (`hilum rerun` brings it back)."""
    first_delay_s: Annotated[float, Field(gt=0)] = 5.0
    """Delay before the second attempt; it doubles with each attempt."""
    maximum_delay_s: Annotated[float, Field(gt=0)] = 1800.0
    """Largest delay between attempts."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the delay that is random."""
    breaker_failures: Annotated[int, Field(ge=1)] = 3
    """Failures in a row after which a destination is left alone for `breaker_open_s`."""
    breaker_open_s: Annotated[float, Field(gt=0)] = 30.0
    """Seconds for which an open circuit keeps a destination from being tried."""
    connect_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """TCP and A-ASSOCIATE timeout."""
    response_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Longest wait for a C-STORE response."""


class AnalysisSettings(SettingsSection):
    """How jobs are run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where jobs run; `auto` takes a GPU when a GPU worker is alive, else the CPU."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the networks."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of one worker process; 0 takes the number of cores."""
    bundles: Path | None = None
    """Folder that holds the bundles; None takes those shipped with the program."""
    operating_points: dict[str, dict[str, Threshold]] = Field(default_factory=dict)
    """Thresholds of this site instead of those of the manifests, by bundle and label: a number, or the name of another
    operating point of the manifest, as in `{pneumothorax: {pneumothorax: 0.35}}`. They make another algorithm: its
    digest changes wherever it stands, and reports say who set the threshold."""
    heat_maps: bool = False
    """`hilum analyse` also draws where the classifier looked, for each finding that is present (`--heat-maps`)."""
    maximum_attempts: Annotated[int, Field(ge=1)] = 3
    """Attempts after which a job is answered as failed."""
    lease_s: Annotated[float, Field(gt=0)] = 60.0
    """A job whose worker was silent for this long is given to another."""
    time_limit_s: Annotated[float, Field(gt=0)] = 600.0
    """Longest run of one job; then its worker process is killed."""


class DispatchSettings(SettingsSection):
    """The outbox that turns committed rows into Celery messages."""

    interval_s: Annotated[float, Field(gt=0)] = 0.25
    """Pause between two rounds."""
    resend_after_s: Annotated[float, Field(gt=0)] = 20.0
    """A row still waiting this long after its message was sent is sent again."""
    window: Annotated[int, Field(ge=1)] = 32
    """Routine messages in the broker at once; the rest wait in the database, so that STAT stays ahead."""


class Rule(SettingsSection):
    """One routing rule; the first that matches decides. An empty condition matches everything."""

    name: str
    """Name for audit and logs."""
    calling_ae_title: list[AETitle] = Field(default_factory=list)
    """Calling AE Titles."""
    modality: list[str] = Field(default_factory=list)
    """Modality (0008,0060), for example [CR, DX]."""
    description: str | None = None
    """Regular expression, searched without case in Study Description and Series Description."""
    age_years: tuple[float, float] | None = None
    """Patient's age, from (inclusive) and to (exclusive); an unknown age does not match."""
    assume_age_years: Annotated[float, Field(gt=0, lt=OLDEST_YEARS)] | None = None
    """Age of patients whose images give none that can be true, for a sender that strips ages; every report says that it
    was assumed. None: of such images nothing is computed that is intended for ages."""
    pipeline: Annotated[str, Field(max_length=32)] = DEFAULT_PIPELINE
    """`chest` analyses radiographs, `atrium` MR series, `none` keeps nothing but the audit trail."""
    bundles: list[str] | None = None
    """Names of the bundles to run; None runs those that the pipeline runs unasked."""
    priority: Literal["STAT", "routine"] = "routine"
    """STAT jobs overtake routine jobs."""
    destinations: list[str] | None = None
    """Names of destinations for the results; None takes all."""

    @field_validator("pipeline")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        known = (*sorted(entry_points(group=PIPELINES).names), NO_PIPELINE)
        if value not in known:
            raise ValueError(f"no pipeline named {value!r}; there are: {', '.join(known)}")
        return value

    @field_validator("description")
    @classmethod
    def _is_expression(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value


class Settings(BaseSettings):
    """All settings of one node."""

    model_config = SettingsConfigDict(
        env_prefix="HILUM_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    home: Path = Path.home() / ".local" / "share" / "hilum"
    """Folder of the spool, the results and, in the embedded configuration, the database and the broker."""
    database_url: str | None = None
    """SQLAlchemy URL, for example `postgresql+psycopg://hilum@db/hilum`; None: SQLite in `home`."""
    broker_url: str | None = None
    """Celery broker URL, for example `redis://redis:6379/0`; None: a private Redis on a socket in `home`."""
    watchdog_s: Annotated[float, Field(gt=2)] = 90.0
    """`hilum up` replaces a process that gave no sign of life for so long; a receiver after a sixth, at least 10 s."""
    queue_suffix: Annotated[str, Field(pattern=r"[0-9A-Za-z_-]{1,32}")] | None = None
    """Last part of the queues' names (`analysis.cpu.SUFFIX`, `delivery.SUFFIX`), which no other node on the same broker
    may have. None: the first digits of the identity of the node's spool."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe event that is logged."""
    log_format: Literal["console", "json"] = "console"
    """`console` for people, `json` for collectors."""
    receiver: ReceiverSettings = ReceiverSettings()
    spool: SpoolSettings = SpoolSettings()
    completion: CompletionSettings = CompletionSettings()
    dispatch: DispatchSettings = DispatchSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    delivery: DeliverySettings = DeliverySettings()
    destinations: dict[str, AnyDestination] = Field(default_factory=dict)
    """Where results go, by name."""
    profiles: list[Profile] = Field(default_factory=list)
    """Object profiles of this site, beside the built-in ones."""
    rules: list[Rule] = Field(default_factory=lambda: [Rule(name="default")])
    """Routing rules, first match wins; a study that matches none is not analysed."""

    @model_validator(mode="after")
    def _rules_name_destinations(self) -> Settings:
        for rule in self.rules:
            for name in rule.destinations or ():
                if name not in self.destinations:
                    raise ValueError(f"rule {rule.name!r} names destination {name!r}, which is not configured")
        return self

    @model_validator(mode="after")
    def _profiles_have_names_of_their_own(self) -> Settings:
        for profile in self.profiles:
            if profile.name in BUILT_IN or sum(other.name == profile.name for other in self.profiles) > 1:
                raise ValueError(f"profiles: the name {profile.name!r} is taken; choose another")
        return self

    @model_validator(mode="after")
    def _destinations_name_profiles(self) -> Settings:
        for name, destination in self.destinations.items():
            if destination.profile not in self.object_profiles:
                known = ", ".join(self.object_profiles)
                raise ValueError(f"destination {name!r} has profile {destination.profile!r}; there are: {known}")
        return self

    @model_validator(mode="after")
    def _reports_of_commitment_are_let_in(self) -> Settings:
        allowed, peers = self.receiver.allowed_calling_ae_titles, self.receiver.peer_certificates
        for name, destination in self.destinations.items():
            if not isinstance(destination, Destination):
                continue
            for setting, titles in (("allowed_calling_ae_titles", allowed), ("peer_certificates", peers)):
                if destination.commitment.ask and titles and destination.reporting_ae_title not in titles:
                    raise ValueError(
                        f"destination {name!r} is asked for commitment, but {destination.reporting_ae_title!r} is not "
                        f"in receiver.{setting}: its reports would be refused"
                    )
        return self

    @model_validator(mode="after")
    def _counting_asks_an_archive(self) -> Settings:
        asked = self.completion.count_from
        if asked is not None and asked not in self.destinations:
            raise ValueError(f"completion.count_from names destination {asked!r}, which is not configured")
        if asked is not None and not isinstance(self.destinations[asked], Destination):
            raise ValueError(f"completion.count_from names destination {asked!r}, which answers no C-FIND")
        return self

    @property
    def object_profiles(self) -> dict[str, Profile]:
        """Every profile that a destination may name: the built-in ones, then the site's own."""
        return BUILT_IN | {profile.name: profile for profile in self.profiles}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the YAML file, which arrives as initial values."""
        return env_settings, init_settings

    @property
    def resolved_database_url(self) -> str:
        """The database in use."""
        return self.database_url or f"sqlite:///{self.home / 'hilum.db'}"


def load(config: Path | None = None) -> Settings:
    """Read the settings.

    Parameters
    ----------
    config
        YAML file; None takes the one that `HILUM_CONFIG` names, if any.

    Raises
    ------
    Misconfigured
        The file cannot be read, or a value is not what was expected; every wrong value is named.
    """
    named = os.environ.get("HILUM_CONFIG")
    path = config or (Path(named) if named else None)
    values: Any = {}
    if path is not None:
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            values = {} if values is None else values
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise Misconfigured(f"cannot read the configuration {path}: {error}") from error
        if not isinstance(values, dict):
            raise Misconfigured(
                f"the configuration {path} must be a mapping of settings, found {type(values).__name__}"
            )
    try:
        return Settings(**values)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in e['loc']) or 'settings'}: {e['msg']}" for e in error.errors()]
        raise Misconfigured("wrong settings" + (f" in {path}" if path else "") + ":\n" + "\n".join(lines)) from error


def for_children(config: Path | None, *, notify: str | None = None) -> dict[str, str]:
    """Return the environment of a child process that shall read the same settings, and give its signs to `notify`."""
    environment = dict(os.environ)
    if notify is not None:
        environment[_NOTIFY_SOCKET] = notify
    if config is not None:
        environment["HILUM_CONFIG"] = str(config.resolve())
    return environment


def notify_socket() -> str | None:
    """Return where signs of life go (sd_notify(3)); None: nobody asked for any."""
    return os.environ.get(_NOTIFY_SOCKET) or None


def forget_environment(*, but: str) -> None:
    """Remove the settings from this process's environment, except those of one section."""
    for name in list(os.environ):
        if name.startswith("HILUM_") and not name.startswith(f"HILUM_{but}__"):
            del os.environ[name]
