"""Where the work is done: processes of this machine, or a Ray cluster. Results come in any order,
each with its number."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from insegan_ros.errors import ConfigError, DatasetError

ENGINES = ('local', 'ray')
# A worker that dies is replaced; so often in a row without one finished job, and it is no accident.
MAX_DEATHS = 3
# The arguments of each job, by its number.
Jobs = dict[int, tuple[Any, ...]]


def run_jobs(
    engine: str, work: Callable[..., Any], jobs: Jobs, workers: int, address: str = ''
) -> Iterator[tuple[int, Any]]:
    """Yield (number, work(*arguments)) for every job. A worker that dies costs its job's time,
    nothing else.

    Raises what `work` raises, and DatasetError where workers die again and again.
    """
    if not jobs:
        return iter(())
    if engine == 'ray':
        return _on_ray(work, jobs, workers, address)
    return _on_processes(work, jobs, min(workers, len(jobs)))


def _numbered(work: Callable[..., Any], number: int, arguments: tuple[Any, ...]) -> tuple[int, Any]:
    return number, work(*arguments)


def _for_parent(
    parent: int, work: Callable[..., Any], number: int, arguments: tuple[Any, ...]
) -> tuple[int, Any]:
    if os.getpid() != parent:
        _watch(parent)
    return _numbered(work, number, arguments)


@lru_cache(maxsize=1)
def _watch(parent: int) -> None:
    """End this process soon after its parent: one that was killed cannot tell its workers, and a
    heap takes minutes."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _on_processes(work: Callable[..., Any], jobs: Jobs, workers: int) -> Iterator[tuple[int, Any]]:
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    left, deaths = dict(jobs), 0
    while left:
        try:
            calls = [
                joblib.delayed(_for_parent)(os.getpid(), work, number, arguments)
                for number, arguments in left.items()
            ]
            # One job at a time to each process: what is begun and thrown away by a kill stays
            # small.
            for number, result in joblib.Parallel(
                n_jobs=workers, return_as='generator_unordered', batch_size=1, pre_dispatch='n_jobs'
            )(calls):
                left.pop(number)
                deaths = 0
                yield number, result
        except BrokenProcessPool as error:
            deaths += 1
            if deaths >= MAX_DEATHS:
                raise DatasetError(
                    f'worker processes died {deaths} times without finishing a shard: expected'
                    ' them to survive; is the memory full? fewer --workers or smaller'
                    ' --shard_scenes need less'
                ) from error


def _reach(address: str) -> None:
    """Raise ConfigError where nobody listens: Ray would try for minutes."""
    if address in ('', 'auto'):
        return
    host, _, port = address.removeprefix('ray://').rpartition(':')
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(
            f'no Ray cluster at "{address}" ({error}): expected the HOST:PORT of a running one, or'
            ' auto'
        ) from error


def _on_ray(
    work: Callable[..., Any], jobs: Jobs, workers: int, address: str
) -> Iterator[tuple[int, Any]]:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            'engine is "ray" but Ray is not installed: expected `pip install insegan_ros[ray]`'
        ) from error
    ours = not ray.is_initialized()
    if ours:
        _reach(address)
        options: dict[str, Any] = {'num_cpus': workers, 'include_dashboard': False}
        if address:
            options = {'address': address}
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f'no Ray cluster at "{address}" ({" ".join(str(error).split())}): expected the'
                ' address of a running one'
            ) from error
    try:
        # Ray itself starts a job again whose worker has died.
        remote = ray.remote(num_cpus=1, max_retries=MAX_DEATHS)(_numbered)
        waiting = list(jobs.items())
        running: list[ray.ObjectRef[tuple[int, Any]]] = []
        max_running = workers
        if address:
            max_running = max(workers, int(ray.cluster_resources().get('CPU', workers)))
        while waiting or running:
            while waiting and len(running) < max_running:
                number, arguments = waiting.pop(0)
                running.append(remote.remote(work, number, arguments))
            ready, running = ray.wait(running)
            try:
                yield ray.get(ready[0])
            except ray.exceptions.WorkerCrashedError as error:
                raise DatasetError(
                    f'Ray workers died {MAX_DEATHS} times on one shard: expected them to survive;'
                    ' is the memory full?'
                ) from error
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except ray.exceptions.RayError as error:
                raise DatasetError(
                    f'Ray broke down ({" ".join(str(error).split()).rstrip(".")}): expected its'
                    ' processes to survive; the same command continues after the finished shards'
                ) from error
    finally:
        if ours:
            ray.shutdown()
