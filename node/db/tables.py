"""Typed tables. They hold UIDs, digests, states and times; no patient attribute has a column here."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, validates

from node.db.dialects import byte_count, dialect_of
from node.db.states import DeliveryState, InstanceState, JobState, StudyState, check

UID = String(64)
DIGEST = String(64)
BYTES = byte_count()


class UTCDateTime(TypeDecorator[datetime]):
    """A time-zone-aware UTC timestamp on every database; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC before writing."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a timestamp must carry its time zone")
        moment = value.astimezone(UTC)
        return moment if dialect_of(dialect.name).keeps_time_zone else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _enum(kind: type[StrEnum]) -> Enum:
    """Store a StrEnum by its value, guarded by a CHECK constraint."""
    return Enum(
        kind,
        native_enum=False,
        length=16,
        create_constraint=True,
        name=kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )


class Base(DeclarativeBase):
    """Base of all tables, with named constraints so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UTCDateTime,
        InstanceState: _enum(InstanceState),
        StudyState: _enum(StudyState),
        JobState: _enum(JobState),
        DeliveryState: _enum(DeliveryState),
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


class StateGuard:
    """Checks each assignment of `state` against the transition table."""

    @validates("state")
    def _allowed(self, _key: str, new: Any) -> Any:
        old = self.__dict__.get("state")
        return new if old is None or old == new else check(old, new)


class AssociationRow(Base):
    """One association that brought objects, and how it ended (None: still open, or its receiver died)."""

    __tablename__ = "associations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    called_ae_title: Mapped[str] = mapped_column(String(16))
    peer_address: Mapped[str] = mapped_column(String(64))
    tls_subject: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(String(16))


class StudyRow(StateGuard, Base):
    """One study of one opener, mostly the only one with its UID; `revision` counts its completions."""

    __tablename__ = "studies"
    __table_args__ = (UniqueConstraint("study_instance_uid", "opened_by"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(UID)
    opened_by: Mapped[str] = mapped_column(String(16), server_default="")
    """Calling AE Title of whoever sent its first image."""
    state: Mapped[StudyState] = mapped_column(index=True)
    revision: Mapped[int]
    opened_at: Mapped[datetime]
    last_arrival_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    completion_reason: Mapped[str | None] = mapped_column(String(32))

    instances: Mapped[list[InstanceRow]] = relationship(back_populates="study", order_by="InstanceRow.id")


class InstanceRow(StateGuard, Base):
    """One received SOP Instance. The same UID with other bytes is a row of its own, in state CONFLICT.

    Where its file lies follows from its digest (`node.spool.store.Spool.received_path`).
    """

    __tablename__ = "instances"
    __table_args__ = (UniqueConstraint("sop_instance_uid", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id"), index=True)
    association_id: Mapped[str] = mapped_column(ForeignKey("associations.id"), index=True)
    arrival: Mapped[str] = mapped_column(String(128), unique=True)
    sop_instance_uid: Mapped[str | None] = mapped_column(UID, index=True)
    sop_class_uid: Mapped[str | None] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str | None] = mapped_column(UID)
    digest: Mapped[str] = mapped_column(DIGEST)
    size_bytes: Mapped[int] = mapped_column(BYTES)
    state: Mapped[InstanceState]
    reason: Mapped[str | None] = mapped_column(String(64))
    detail: Mapped[str | None] = mapped_column(Text)
    revision: Mapped[int | None]
    received_at: Mapped[datetime]

    study: Mapped[StudyRow | None] = relationship(back_populates="instances")


class JobRow(StateGuard, Base):
    """One analysis of one study revision; also the outbox row of its Celery messages."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("study_id", "revision"),
        Index(None, "state", "priority", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    revision: Mapped[int]
    state: Mapped[JobState]
    rule: Mapped[str] = mapped_column(String(128))
    pipeline: Mapped[str] = mapped_column(String(32), server_default="chest")
    priority: Mapped[str] = mapped_column(String(8))
    bundles: Mapped[list[str] | None]
    destinations: Mapped[list[str]]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    faults: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often the machine failed under it; none of these is an attempt."""
    report_only: Mapped[str | None] = mapped_column(String(64))
    last_error: Mapped[str | None] = mapped_column(Text)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_token: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    analysed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    configuration_digest: Mapped[str | None] = mapped_column(DIGEST)
    timings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    summary: Mapped[dict[str, Any] | None]

    study: Mapped[StudyRow] = relationship()
    results: Mapped[list[ResultRow]] = relationship(back_populates="job", order_by="ResultRow.id")
    deliveries: Mapped[list[DeliveryRow]] = relationship(back_populates="job", order_by="DeliveryRow.id")


class ResultRow(Base):
    """One result object, encoded once: every destination gets the bytes that the spool holds by their SHA-256."""

    __tablename__ = "results"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    profile: Mapped[str] = mapped_column(String(64))
    sop_class_uid: Mapped[str] = mapped_column(UID)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    sha256: Mapped[str] = mapped_column(DIGEST)
    size_bytes: Mapped[int] = mapped_column(BYTES)
    created_at: Mapped[datetime]

    job: Mapped[JobRow] = relationship(back_populates="results")


class DeliveryRow(StateGuard, Base):
    """One result to one destination, with its attempts.

    `attempts` counts how often it was sent, and how often a request for commitment came to nothing;
    `requests` the requests for commitment that the destination has taken since it was last sent. `transaction_uid` is
    the latest one that was made. `refusals` counts answers that may be a refusal for good.
    """

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("result_id", "destination"), Index(None, "state", "due_at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("results.id"))
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[DeliveryState]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    retry_until: Mapped[datetime]
    lease_token: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    accepted_at: Mapped[datetime | None]
    transaction_uid: Mapped[str | None] = mapped_column(ForeignKey("commitments.transaction_uid"))
    requests: Mapped[int] = mapped_column(default=0, server_default="0")
    refusals: Mapped[int] = mapped_column(default=0, server_default="0")

    job: Mapped[JobRow] = relationship(back_populates="deliveries")
    result: Mapped[ResultRow] = relationship()


class CommitmentRow(Base):
    """One request for storage commitment: which instances of a job a destination was asked about."""

    __tablename__ = "commitments"

    transaction_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    destination: Mapped[str] = mapped_column(String(64))
    instances: Mapped[list[str]]
    requested_at: Mapped[datetime]
    reported_at: Mapped[datetime | None]


class CircuitRow(Base):
    """The circuit breaker of one destination."""

    __tablename__ = "circuits"

    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    open_until: Mapped[datetime | None]


class ProcessRow(Base):
    """One process that gives signs of life; it removes its row when it ends in order (`node.pulse`)."""

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    component: Mapped[str] = mapped_column(String(16))
    device: Mapped[str | None] = mapped_column(String(16))
    """Of an analysis worker."""
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    doing: Mapped[str | None] = mapped_column(String(64))
    """The step that it is at, and since when."""
    doing_since: Mapped[datetime | None]
    steps: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """When each of its steps was completed last."""


class NodeRow(Base):
    """Which spool this database belongs to (see `node.db.belonging`); one row."""

    __tablename__ = "node"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spool_id: Mapped[str] = mapped_column(String(36))
    since: Mapped[datetime]


class AuditRow(Base):
    """One event of the append-only, hash-chained audit log (see `node.db.audit`)."""

    __tablename__ = "audit_events"

    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(64), index=True)
    study_id: Mapped[int | None] = mapped_column(index=True)
    job_id: Mapped[str | None] = mapped_column(String(36), index=True)
    detail: Mapped[str] = mapped_column(Text)
    previous_hash: Mapped[str] = mapped_column(DIGEST)
    hash: Mapped[str] = mapped_column(DIGEST, unique=True)


class AuditHeadRow(Base):
    """The last link of the audit chain: the lock for appending, and the proof that no row was cut off the end."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int]
    hash: Mapped[str] = mapped_column(DIGEST)
