"""The web app: ``flask --app flights.web run``."""

from __future__ import annotations

from dataclasses import asdict

from flask import Flask, Response, jsonify, render_template, request
from sqlalchemy import Engine, text

from flights import db, reports


def create_app(engine: Engine = db.engine) -> Flask:
    """The app over one database."""
    app = Flask(__name__)

    @app.get("/")
    def home() -> str:
        with engine.connect() as tx:
            return render_template(
                "home.html", routes=reports.busiest_routes(tx), carriers=reports.punctuality(tx)
            )

    @app.get("/api/routes")
    def routes() -> Response:
        limit = request.args.get("limit", default=10, type=int)
        with engine.connect() as tx:
            return jsonify([asdict(route) for route in reports.busiest_routes(tx, min(max(limit, 1), 300))])

    @app.get("/api/carriers")
    def carriers() -> Response:
        with engine.connect() as tx:
            return jsonify([asdict(carrier) for carrier in reports.punctuality(tx)])

    @app.get("/ready")
    def ready() -> str:
        """Whether the database answers: asked by whatever sends visitors here."""
        with engine.connect() as tx:
            tx.execute(text("SELECT 1"))
        return "ready\n"

    return app
