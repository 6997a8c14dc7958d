"""The tables. Times are local times of the airport, delays are minutes, distances are miles."""

from __future__ import annotations

from datetime import date, time

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The parent of every table."""


class Carrier(Base):
    """An airline."""

    __tablename__ = "carriers"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]


class Airport(Base):
    """An airport, by its FAA code."""

    __tablename__ = "airports"

    code: Mapped[str] = mapped_column(String(3), primary_key=True)
    name: Mapped[str]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    altitude: Mapped[int | None]
    """Feet above the sea."""
    timezone: Mapped[str | None]


class Flight(Base):
    """One scheduled flight, flown or not."""

    __tablename__ = "flights"
    __table_args__ = (
        # An airline may use a number twice a day; only the hour of departure tells the two apart.
        UniqueConstraint("date", "carrier", "number", "origin", "scheduled_departure"),
        Index("flights_by_route", "origin", "destination"),
        Index("flights_by_carrier", "carrier"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    date: Mapped[date]
    carrier: Mapped[str] = mapped_column(ForeignKey("carriers.code"))
    number: Mapped[int]
    tail_number: Mapped[str | None] = mapped_column(String(6))
    origin: Mapped[str] = mapped_column(ForeignKey("airports.code"))
    destination: Mapped[str] = mapped_column(ForeignKey("airports.code"))
    scheduled_departure: Mapped[time]
    departure: Mapped[time | None]
    """None for a flight that was cancelled."""
    departure_delay: Mapped[int | None]
    scheduled_arrival: Mapped[time]
    arrival: Mapped[time | None]
    arrival_delay: Mapped[int | None]
    """None also for a flight that was diverted, though it arrived in the end."""
    air_time: Mapped[int | None]
    distance: Mapped[int]
