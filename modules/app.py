"""The composition root: builds the services, hands them to each other, and runs the server.

Nothing else constructs its own collaborators. Heavy libraries are imported in one background thread, after the port
answers and the page stands, because imports hold the interpreter lock and would only delay each other.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib.metadata
import logging
import platform
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from modules.bootstrap.options import Options, is_loopback
from modules.cli.doctor import tell
from modules.contracts.accounts import Accounts, Gate
from modules.contracts.catalog import Catalog
from modules.contracts.errors import InvalidRequest, StudioError
from modules.contracts.jobs import JobService
from modules.contracts.pictures import PictureStore
from modules.engine_room import ALONE_SECONDS, SETTLE_SECONDS, EngineRoom
from modules.shelves import Shelves, open_shelves
from modules.support.bus import EventBus
from modules.support.garbage import set_aside, without_passes
from modules.support.log import configure
from modules.support.once import once
from modules.support.options import CORE_SETTINGS
from modules.support.paths import Paths
from modules.support.preferences import Preferences
from modules.support.recent import Recent, hidden_of
from modules.support.settings import Settings
from modules.support.studio import Status, Studio

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI
    from sqlalchemy import Engine as SqlEngine

    from modules.accounts.door import Door
    from modules.accounts.service import StoredAccounts
    from modules.call_queue.pruning import Pruner
    from modules.contracts.run import Engine
    from modules.device.select import DeviceChoice
    from modules.experiments.service import ExperimentService
    from modules.outputs.store import DiskPictureStore
    from modules.processing_diffusers.engine import DiffusersEngine
    from modules.sd_models.catalog import StudioCatalog

log = logging.getLogger(__name__)
VERSION = "0.1.0"
CONFIGURATION_ERROR = 78
"""EX_CONFIG: tells the supervisor that another start would end the same way."""
SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter while others want it. The loop waits for every thread that computes in
Python, one such turn each; with CPython's 5 ms a burst of requests beside eight lanes held up `/healthz` for 200 ms."""
STOP_SECONDS = 15.0
"""How long running jobs get to stop before the process ends."""


def versions() -> dict[str, str]:
    """Versions of what decides how a picture looks. Reads metadata only; imports nothing."""
    names = ("torch", "diffusers", "transformers", "gradio", "fastapi", "numpy", "pillow")
    return {"atelier": VERSION, **{name: importlib.metadata.version(name) for name in names}}


def assemble(
    options: Options, paths: Paths, settings: Settings, shelves: Shelves
) -> tuple[DeviceChoice, DiffusersEngine]:
    """Import the heavy rooms and build the engine from them."""
    with without_passes():
        from modules.device.select import choose
        from modules.processing_diffusers.engine import DiffusersEngine

    choice = choose(options.device, paths.cache)
    set_aside()  # and again when the model stands: half of its libraries are imported with it
    atexit.register(gc.unfreeze)  # so that libraries which look for leaks at the end find none
    engine = DiffusersEngine(stock=shelves.stock(), choice=choice, settings=settings, paths=paths, options=options)
    engine.storehouse.watch = shelves.scripts
    return choice, engine


def build_studio(
    options: Options,
    *,
    status: Status | None = None,
    start_engine: bool = True,
    private: bool = False,
    warm: bool = True,
) -> Studio:
    """All services, wired, jobs of an earlier process taken up again.

    Returns at once; the engine is built in the background, now or with `Studio.start_engine`, and with `warm` loads its
    model. `private` gives the queue a job table of its own, for a command of the terminal beside a server.
    """
    from modules.experiments.opening import open_experiments
    from modules.outputs.store import DiskPictureStore

    paths = Paths(options.paths.data_dir, options.paths.models_dir).ensure()
    settings, bus, status = Settings(CORE_SETTINGS, paths.data), EventBus(), status or Status()
    recent = Recent(partial(hidden_of, options, settings)).listen()
    catalog = (shelves := open_shelves(options, paths, settings)).catalog
    database, jobs = _open_databases(options, paths, private)
    pictures = DiskPictureStore(database, paths.outputs, settings)
    accounts, door, end_counting = _open_accounts(options, database, private)
    room = EngineRoom(status, ALONE_SECONDS if private else SETTLE_SECONDS)
    queue = _line_up(room.get, shelves, jobs, bus, pictures, accounts, settings, options.run.lanes)
    queue = queue if private else _meter(queue, accounts.gate, catalog, bus)  # a private one is the terminal's own
    room.prove(None if private else bus)
    experiments = open_experiments((database, private), queue, pictures, bus, shelves.marks(accounts), room.foresee)
    pruner = _pruner(jobs, settings, experiments, pictures)
    stores = (shelves.scripts.close, shelves.networks.close, end_counting, database.dispose, jobs.dispose, recent.leave)
    stand = partial(room.build, partial(assemble, options, paths, settings, shelves), warm=warm, settle=set_aside)
    studio = Studio(
        options=options,
        paths=paths,
        settings=settings,
        bus=bus,
        status=status,
        catalog=catalog,
        queue=queue,
        pictures=pictures,
        accounts=accounts,
        door=door,
        memory_report=lambda: _memory(room),
        device_report=lambda: _hardware(room),
        unload_models=room.unload,
        reload_model=room.reload,
        close=once(_closing(experiments, queue, pruner, room, catalog, stores)),
        start_engine=once(threading.Thread(target=stand, name="engine-start", daemon=True).start),
        versions=versions(),
        engine_report=room.report,
        recent=recent,
        doctor=lambda: tell(options, dict(_hardware(room))),
        experiments=experiments,
        scripts=shelves.desk(),
        **shelves.services(),
    )
    _begin(queue, pictures, pruner, experiments)
    if start_engine:
        studio.start_engine()
    return studio


def _begin(queue: JobService, pictures: DiskPictureStore, pruner: Pruner, experiments: ExperimentService) -> None:
    """Go on with what an earlier process left."""
    queue.start()
    pictures.sweep(partial(_ended, queue))
    pruner.start()
    experiments.start_all()


def _ended(queue: JobService, job_id: str) -> bool:
    """Whether that job is known and nothing comes of it any more."""
    record = queue.get(job_id)
    return record is not None and record.ended is not None


def _open_databases(options: Options, paths: Paths, private: bool) -> tuple[SqlEngine, SqlEngine]:
    """The database of the installation, and the one with the jobs of this process; usually the same."""
    from modules.call_queue.database import open_database, open_private, open_server

    address = options.paths.database_url
    database = open_database(paths.database) if address is None else open_server(address)
    return database, open_private() if private else database


def _open_accounts(
    options: Options, database: SqlEngine, private: bool
) -> tuple[StoredAccounts, Door, Callable[[], None]]:
    """Accounts, who lets people in, and what ends the counting of limits. Raises as `check_strangers` does."""
    from modules.accounts.counters.opening import open_counters
    from modules.accounts.door import Door
    from modules.accounts.service import StoredAccounts

    counters = open_counters(None if private else options.paths.counters_url)
    accounts = StoredAccounts(database, counters=counters)
    check_strangers(options, accounts)
    return accounts, Door(accounts, options.network.api_auth, counters=counters), counters.close


def _pruner(jobs: SqlEngine, settings: Settings, experiments: ExperimentService, pictures: PictureStore) -> Pruner:
    from modules.call_queue.pruning import Pruner, Retention
    from modules.experiments.opening import keeping_of

    def kept() -> Retention:
        return Retention(settings["jobs_keep_days"], settings["jobs_keep_number"])

    def beside() -> None:
        experiments.prune(keeping_of(settings))
        if settings["gallery_bin_days"]:
            pictures.empty_bin(before=datetime.now(UTC) - timedelta(days=settings["gallery_bin_days"]))

    return Pruner(jobs, kept, beside=beside)


def _kept_bytes(settings: Settings) -> int:
    """How much is kept of pictures that were sent with jobs that have ended."""
    return int(settings["jobs_keep_input_mb"]) * 2**20


def _line_up(
    engine: Callable[[], Engine],
    shelves: Shelves,
    jobs: SqlEngine,
    bus: EventBus,
    pictures: PictureStore,
    accounts: Accounts,
    settings: Settings,
    lanes: int,
) -> JobService:
    """The queue, whose jobs the scripts take part in. What it asks the settings, it asks at each job."""
    from modules.call_queue.entrance import Entrance, room_of
    from modules.call_queue.queue import CallQueue
    from modules.call_queue.store import JobStore

    store = JobStore(jobs, machine=platform.node(), keep_bytes=partial(_kept_bytes, settings))
    entrance = Entrance(shelves.examine, partial(room_of, settings))
    own = Preferences(settings, accounts).carried
    return CallQueue(shelves.scripted(engine), store, bus, pictures, lanes=lanes, entrance=entrance, own=own)


def _meter(queue: JobService, gate: Gate, catalog: Catalog, bus: EventBus) -> JobService:
    """The queue behind the gate, which counts what jobs cost."""
    from modules.accounts.metering import MeteredQueue

    return MeteredQueue(queue, gate, catalog, bus)


def _closing(
    experiments: ExperimentService,
    queue: JobService,
    pruner: Pruner,
    room: EngineRoom,
    catalog: StudioCatalog,
    stores: Sequence[Callable[[], None]],
) -> Callable[[], None]:
    """What takes everything down again, in order: first whoever uses something, then what is used."""

    def close() -> None:
        experiments.stop()
        queue.stop(STOP_SECONDS)
        pruner.stop(STOP_SECONDS)
        room.close()
        catalog.close()
        for let_go in stores:
            let_go()

    return close


def check_strangers(options: Options, accounts: Accounts) -> None:
    """Refuses to serve other machines while nothing asks them who they are. Raises `InvalidRequest`."""
    network = options.network
    if not is_loopback(network.host) and not network.api_auth and accounts.open:
        raise InvalidRequest(
            f"--host {network.host} lets other machines in, and nothing asks them who they are; make an account "
            "(python launch.py users add NAME --role admin), add --api-auth USER:PASSWORD, or keep to 127.0.0.1."
        )


def _memory(room: EngineRoom) -> Mapping[str, Any]:
    from modules.device.report import memory_report

    return memory_report(room.choice)


def _hardware(room: EngineRoom) -> Mapping[str, Any]:
    if room.choice is None:
        return {"state": "not chosen yet"}
    from modules.device.report import hardware_report

    return hardware_report(room.choice)


def build_application(studio: Studio) -> FastAPI:
    """The HTTP application: API routes, and the page at the root unless it is switched off."""
    from fastapi import FastAPI

    from modules.api.app import add_api

    application = FastAPI(title="Atelier", version=VERSION)
    add_api(application, studio)
    if studio.options.network.webui:
        from modules.ui.mount import mount

        application = mount(application, studio)
    else:
        studio.scripts.open(None)
    return application


class _Server:
    """One run of the HTTP server: the port first, then services and page, then the engine."""

    def __init__(self, options: Options, supervised: bool = False) -> None:
        from modules.api.opening import Opening

        self._options = options
        self._supervised = supervised
        self._status = Status()
        self._opening = Opening(self._status, options.network.subpath)
        self._studio: Studio | None = None
        self._exit_status = 0

    async def run(self) -> int:
        """Serve until a signal comes; the process's exit status."""
        import uvicorn

        from modules.api import threads

        await threads.stand()
        network = self._options.network
        close = self._close

        class Server(uvicorn.Server):
            """Closes the studio first, so that whoever waits for a picture is answered before connections are cut."""

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                await asyncio.to_thread(close)
                await super().shutdown(sockets)

        server = Server(
            uvicorn.Config(
                self._opening,
                host=network.host,
                port=network.port,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._stand_up, args=(server, loop), name="stand-up", daemon=True).start()
        await server.serve()
        await self._opening.close()
        return self._exit_status

    def _close(self) -> None:
        if self._studio is not None:
            self._studio.close()

    def _end(self, server: uvicorn.Server, code: int) -> None:
        self._exit_status = code
        server.should_exit = True

    def _stand_up(self, server: uvicorn.Server, loop: asyncio.AbstractEventLoop) -> None:
        network = self._options.network
        try:
            studio = self._studio = build_studio(self._options, status=self._status, start_engine=False)
            studio.leaving.offer(lambda code: self._end(server, code), restarts=self._supervised)
            self._status.set("page", "Building the page")
            application = build_application(studio)
            lifespan = application.router.lifespan_context(application)
            asyncio.run_coroutine_threadsafe(self._opening.hand_over(application, lifespan), loop).result()
            port = server.servers[0].sockets[0].getsockname()[1] if server.servers else network.port
            log.info("the page stands at http://%s:%s%s", network.host, port, network.subpath)
            studio.start_engine()
        except StudioError as error:
            log.error("%s", error.message)
            self._exit_status = CONFIGURATION_ERROR
            server.should_exit = True
        except Exception:
            # Border of a thread: without this the port would answer "starting" for ever.
            log.exception("the studio could not be started")
            self._exit_status = 1
            server.should_exit = True


def serve(options: Options, *, supervised: bool = False) -> int:
    """Run the server until it is told to stop. Returns the exit status of the process.

    `supervised` says that somebody starts it again when it asks for that.
    """
    configure(json_lines=options.run.log_json)
    sys.setswitchinterval(SWITCH_SECONDS)
    return asyncio.run(_Server(options, supervised).run())
