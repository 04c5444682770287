"""The dask engine: the workers of a dask cluster, on this machine or on others.

A worker that passes the preflight gets one call at a time, addressed to it alone. So it is known
which call was running when a worker died, and dask does not try the call elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from robustbench_rec.errors import InputError, one_line
from robustbench_rec.processes import SAFELY, safe_path, start_worker
from robustbench_rec.running.compute import Compute
from robustbench_rec.running.engines import Cluster, WorkerDied
from robustbench_rec.running.preflight import unfit
from robustbench_rec.running.signals import HeldSignals

try:
    import dask
    import distributed
    from distributed import Client, LocalCluster, Security, WorkerPlugin
    from distributed.scheduler import KilledWorker
except ImportError as error:
    raise InputError(
        f"--engine dask needs more packages ({error}): pip install 'robustbench_rec[dask]'"
    ) from None

MOST_WORKERS = None
ENDS_WORKERS = True
IS_CLUSTER = True
LIMIT = 30.0
"""Largest seconds in which the scheduler must answer, and a worker pass the preflight."""
SILENT = logging.CRITICAL + 1
GRACE = 2.0
"""Seconds for a farewell."""
TURN = 0.5
"""Least seconds between two questions to the scheduler."""
ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:[0-9]{1,5}")


def start(n_workers: int, compute: Compute, cluster: Cluster) -> Dask:
    """Connect to the cluster, or start one here, and wait for its first worker.

    Raises:
        InputError: there is no scheduler at the address, or one of another version; no worker
            passes the preflight in time, or one does not pass it.

    """
    _silence()
    with ExitStack() as ends:
        own = None if cluster.scheduler else ends.enter_context(_started_here(n_workers, compute))
        client = _connected(own or _placed(cluster.scheduler), min(LIMIT, cluster.stall))
        engine = Dask(client, cluster, own, ends.pop_all())
    try:
        engine.begin()
    except BaseException:
        engine.close()
        raise
    return engine


def _silence() -> None:
    """Silence the logs of dask: what matters to the user, we say."""
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(SILENT)


def _placed(address: str) -> str:
    if not ADDRESS.fullmatch(address):
        raise InputError(f"--scheduler is {address!r}; it must be like tcp://host:8786")
    return address


@contextmanager
def _started_here(n_workers: int, compute: Compute) -> Iterator[LocalCluster]:
    """Return workers on this machine, which end with the `with`, or with this process."""
    environment = compute.environment() | SAFELY
    settings = {
        "distributed.nanny.pre-spawn-environ": environment,
        "distributed.scheduler.http.routes": [],  # no dashboard, and no page
        "distributed.worker.http.routes": [],
        "distributed.comm.timeouts.connect": f"{LIMIT} s",
        # A worker that died starts again, however busy the machine is; dask waits 15 s for it.
        "distributed.deploy.lost-worker-timeout": "365 days",
    }
    with dask.config.set(settings):
        with safe_path():
            cluster = LocalCluster(
                security=_keys(),
                protocol="tls",
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,  # the system decides, as for other engines
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=SILENT,
            )
        try:
            yield cluster
        finally:
            with suppress(OSError):  # what is left ends with this process
                cluster.close(timeout=GRACE)


def _keys() -> Any:
    """Return keys for one run: without them all users of this machine could have us run code."""
    try:
        return Security.temporary()
    except ImportError as error:
        raise InputError(
            f"--engine dask needs more packages ({error}): pip install 'robustbench_rec[dask]'"
        ) from None


def _connected(place: str | LocalCluster, seconds: float) -> Client:
    """Return a client, made in a thread: if no scheduler answers, its own time limit fails."""
    made: Future[Client] = Future()

    def connect() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions, which are compared below
                made.set_result(Client(place, timeout=seconds, set_as_default=False))
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        return made.result(seconds + GRACE)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"--scheduler {place}: no dask scheduler answers there ({one_line(error)}); start one "
            "with `dask scheduler`, or check the address"
        ) from None


@dataclass
class _Worker:
    """A worker, and what it does.

    Attributes:
        address: its address.
        executor: runs calls on this worker alone.
        asked: the preflight.
        process: its process; 0 until the preflight has ended.
        call: its call, which may have ended.
        inner: the future of dask for this call.

    """

    address: str
    executor: Any
    asked: Future[Any]
    process: int = 0
    call: Future[Any] | None = None
    inner: Future[Any] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it takes a call."""
        return self.process > 0 and (self.call is None or self.call.done())

    def lose(self) -> None:
        """Give its call up."""
        if self.call is not None:
            with suppress(InvalidStateError):  # it has ended
                self.call.set_exception(WorkerDied(f"{self.address} is gone"))
        for future in (self.asked, self.inner):
            if future is not None:
                future.cancel()


@dataclass
class Dask:
    """Runs calls on the workers of a cluster.

    Attributes:
        client: the connection to the scheduler.
        cluster: what is asked of the workers.
        own: the cluster, if it was started here.
        ends: ends this cluster.

    """

    client: Client
    cluster: Cluster
    own: LocalCluster | None
    ends: ExitStack
    runs_here = False
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _unfit: dict[str, str] = field(default_factory=dict)
    _answer: Future[Any] | None = None
    _asked_at: float = 0.0
    _alive_at: float = field(default_factory=time.monotonic)

    @property
    def shares_folder(self) -> bool:
        """Whether workers write to the results folder."""
        return self.cluster.shares_folder

    @property
    def n_workers(self) -> int:
        """The number of workers that passed the preflight."""
        return sum(worker.process > 0 for worker in self._workers.values())

    @property
    def _where(self) -> str:
        return self.cluster.scheduler or "the cluster of this process"

    @property
    def _limit(self) -> float:
        """Seconds to wait at the start."""
        return min(LIMIT, self.cluster.stall)

    def begin(self) -> None:
        """Wait until the first workers have passed the preflight, and no other is still asked.

        While all workers are busy, as with the trainings of a run whose parent died, wait for the
        first for as long as for any worker.
        """
        self._refuse_other_version()
        if self.own is not None:
            self.client.register_plugin(_Tied(os.getpid()))
        with HeldSignals() as signals:
            self._wait_for_workers(signals)
        if not self.n_workers:
            raise InputError(self._nobody())
        self._alive_at = time.monotonic()
        for address in self._late:
            self.cluster.events.warning(
                f"worker {address}: has not answered for {self._limit:g} s; it is used once it does"
            )

    def _wait_for_workers(self, signals: HeldSignals) -> None:
        """Wait as `begin` says; InputError if a worker is unfit, or the scheduler silent."""
        began, was_told = time.monotonic(), False
        while not self._is_ready():
            signals.deliver()
            self._look(time.monotonic())
            for address, why in self._unfit.items():
                raise InputError(f"worker {address}: {why}")
            waited = time.monotonic() - began
            if waited > self._limit:
                if self.n_workers or not self._workers or waited > self.cluster.stall:
                    break
                if not was_told and self.cluster.stall > self._limit:
                    was_told = True
                    self.cluster.events.warning(self._all_busy())
            time.sleep(0.05)

    @property
    def _late(self) -> list[str]:
        """The workers that have not answered yet."""
        return [address for address, one in self._workers.items() if not one.process]

    def _all_busy(self) -> str:
        return (
            f"no worker of {self._where} has answered for {self._limit:g} s: busy, as with "
            "trainings of an earlier run; waiting for the first, for at most "
            f"{self.cluster.stall:g} s (--stall-limit)"
        )

    def _is_ready(self) -> bool:
        return bool(self._workers) and all(one.process for one in self._workers.values())

    def _nobody(self) -> str:
        if late := self._late:
            others = f" nor any of {len(late) - 1} others" if len(late) > 1 else ""
            return (
                f"worker {late[0]}: has not answered for {self.cluster.stall:g} s{others}; it is "
                "busy or stalled: restart it, or wait longer for it (--stall-limit)"
            )
        return (
            f"--scheduler {self._where}: has no worker; start some with `dask worker "
            f"{self._where} --nthreads 1`"
        )

    def _refuse_other_version(self) -> None:
        found = self._asked_of_scheduler("versions")
        try:
            there = found.result(self._limit)["packages"]
        except TimeoutError:
            raise InputError(self._silent(self._limit)) from None
        for name, here in (("distributed", distributed.__version__), ("dask", dask.__version__)):
            if there.get(name) != here:
                raise InputError(
                    f"--scheduler {self._where}: has {name} {there.get(name)}, not {here} as here; "
                    "install the same version on all machines"
                )

    def _asked_of_scheduler(self, what: str, **arguments: Any) -> Future[Any]:
        async def ask() -> Any:
            return await getattr(self.client.scheduler, what)(**arguments)

        return asyncio.run_coroutine_threadsafe(ask(), self.client.loop.asyncio_loop)

    def _silent(self, seconds: float) -> str:
        return (
            f"--scheduler {self._where}: has not answered for {seconds:.0f} s; finished cells are "
            "kept, and the same command continues once it answers"
        )

    def _gone(self) -> str:
        return (
            f"--scheduler {self._where}: is gone; finished cells are kept: start it and its "
            "workers again, and give the same command"
        )

    def look(self) -> None:
        """Find new and lost workers; InputError if the scheduler or all workers are silent."""
        now = time.monotonic()
        self._look(now)
        self._refuse_to_wait(now)

    def _look(self, now: float) -> None:
        """Find new and lost workers; InputError if the scheduler is silent."""
        if self.client.status != "running":
            raise InputError(self._gone())
        if self._answer is None and now - self._asked_at > TURN:
            self._answer, self._asked_at = self._asked_of_scheduler("identity", n_workers=-1), now
        if self._answer is not None and self._answer.done():
            self._take(self._answer)
            self._answer = None
        elif self._answer is not None and now - self._asked_at > self.cluster.stall:
            raise InputError(self._silent(now - self._asked_at))
        self._take_preflights()

    def _take(self, answer: Future[Any]) -> None:
        with suppress(OSError, CancelledError):  # the status of the client will say it
            there = answer.result()["workers"]
            for address in self._workers.keys() - there.keys():
                self._workers.pop(address).lose()
            for address in self._unfit.keys() - there.keys():
                del self._unfit[address]  # what starts at this address is another worker
            for address in there.keys() - self._workers.keys() - self._unfit.keys():
                self._ask(address, there[address])

    def _ask(self, address: str, told: Mapping[str, Any]) -> None:
        """Begin the preflight of a worker; it ends when the worker is free."""
        if told["nthreads"] != 1:
            self._dismiss(
                address,
                f"has {told['nthreads']} threads; start it with `--nthreads 1`, once a core",
            )
            return
        executor = self.client.get_executor(
            workers=[address], allow_other_workers=False, pure=False
        )
        asked = executor.submit(pickle.loads, pickle.dumps(_Call(unfit, (self.cluster.wanted,))))
        self._workers[address] = _Worker(address, executor, asked)

    def _dismiss(self, address: str, why: str) -> None:
        self._unfit[address] = why
        self._workers.pop(address, None)
        if self.n_workers:
            self.cluster.events.warning(f"worker {address}: {why}; it is not used")

    def _take_preflights(self) -> None:
        for worker in list(self._workers.values()):
            if worker.process or not worker.asked.done() or worker.asked.cancelled():
                continue
            if error := worker.asked.exception():
                if not isinstance(error, KilledWorker):  # else it will be gone
                    self._dismiss(worker.address, f"cannot run our code ({one_line(error)})")
                continue
            process, why = worker.asked.result()
            if why:
                self._dismiss(worker.address, why)
            else:
                worker.process = process

    def _refuse_to_wait(self, now: float) -> None:
        if self.n_workers:
            self._alive_at = now
        elif now - self._alive_at > self.cluster.stall:
            raise InputError(
                f"--scheduler {self._where}: has had no worker for {now - self._alive_at:.0f} s"
                f"{self._why_none()}; finished cells are kept: start workers, and give the same "
                "command"
            )

    def _why_none(self) -> str:
        """Say why the last worker that could not be used could not, if there is one."""
        last = next(reversed(self._unfit.items()), None)
        return f" (worker {last[0]}: {last[1]})" if last else ""

    def has_room(self, calls: int) -> bool:
        """Say whether a worker is idle."""
        return any(worker.is_idle for worker in self._workers.values())

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function on an idle worker."""
        worker = next(one for one in self._workers.values() if one.is_idle)
        worker.call = Future()
        worker.inner = worker.executor.submit(pickle.loads, pickle.dumps(_Call(function, args)))
        worker.inner.add_done_callback(partial(self._pass_on, worker.call))
        return worker.call

    def _pass_on(self, call: Future[Any], inner: Future[Any]) -> None:
        """Give a call the end of dask's future."""
        with suppress(InvalidStateError):  # it was given up
            if inner.cancelled():
                call.set_exception(InputError(self._gone()))
            elif error := inner.exception():
                died = isinstance(error, KilledWorker)
                call.set_exception(WorkerDied(str(error)) if died else error)
            else:
                call.set_result(inner.result())

    def end_call(self, call: Future[Any], process: int) -> bool:
        """Give a call up, and have its worker ended; it is used again when it is free."""
        for address, worker in list(self._workers.items()):
            if worker.call is call:
                self._workers.pop(address).lose()
                self._kill(worker)
                return True
        return False

    def _kill(self, worker: _Worker) -> Future[Any]:
        """Have the nanny of a worker kill it and start another; without a nanny it goes on."""
        how = (worker.process, int(signal.SIGKILL))
        message = {"op": "run", "function": pickle.dumps(os.kill), "args": pickle.dumps(how)}
        where = {"workers": [worker.address], "nanny": True}
        return self._asked_of_scheduler("broadcast", msg=message, **where)

    def close(self) -> None:
        """End the calls and the connection, and the workers that were started here."""
        busy = [one for one in self._workers.values() if one.call and not one.call.done()]
        for worker in self._workers.values():
            worker.lose()
        if self.own is not None:
            for worker in self._workers.values():
                if worker.process:
                    with suppress(ProcessLookupError):
                        os.kill(worker.process, signal.SIGKILL)
        else:
            wait([self._kill(worker) for worker in busy], timeout=GRACE)
        with suppress(OSError, TimeoutError):
            self.client.close(timeout=GRACE)
        self.ends.close()


@dataclass(frozen=True)
class _Call:
    """A call that is made where it is unpickled; a scheduler in between imports nothing of it."""

    function: Callable[..., Any]
    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


class _Tied(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Ends a worker with the process that started it, which alone handles Ctrl-C."""

    def __init__(self, parent: int) -> None:
        self.parent = parent

    def setup(self, worker: Any) -> None:
        """Run in the main thread of each worker."""
        start_worker(self.parent)
