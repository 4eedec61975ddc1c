"""Files that are broken or hostile, by the thousand: mutations from fixed seeds, and a process that
must survive them.

`INSEGAN_FUZZ=5000 pytest test/fuzz` tries that many inputs of each kind in place of COUNT.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import signal
import struct
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from insegan_ros.errors import InseganError

COUNT = int(os.environ.get('INSEGAN_FUZZ', '200'))
Attempt = Callable[[random.Random, Path], None]
# What one input may take: memory beyond what the process has, and seconds of processor.
MEMORY_BYTES, CPU_S = 2_000_000_000, 30
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2, 65535, 65536, 10**9, -(10**9), 2**63, 10**30, 0.5, -0.0),
    *(1e-300, 1e300, float('nan'), float('inf'), -float('inf')),
    *('', 'x', '\0', '\n', 'é' * 300, '1e9', 'nan', '../../../etc/passwd', '/dev/zero', '.', '-1'),
    *([], {}, [[]], [0], ['a'], [None], [1] * 1000, {'': 0}, {'a': {'b': [1, 2]}}),
)


def broken_bytes(content: bytes, rng: random.Random) -> bytes:
    """The content after one to six changes: bytes flipped, replaced by numbers at the edge of what
    a field holds, cut out, doubled, or the rest cut off."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(out) + 1)
        length = min(rng.choice((1, 2, 8, 64, 500)), len(out) - place)
        kind = rng.randrange(6)
        if kind == 0 and place < len(out):
            out[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            value, form = rng.choice(EDGES), rng.choice(('<B', '<H', '<I', '<Q', '>I'))
            raw = struct.pack(form, value & (256 ** struct.calcsize(form) - 1))
            out[place : place + len(raw)] = raw
        elif kind == 3:
            del out[place : place + length]
        elif kind == 4:
            out[place:place] = out[place : place + length]
        elif rng.random() < 0.3:
            del out[place:]
    return bytes(out)


def broken_values(content: Any, rng: random.Random) -> Any:
    """Nested lists and mappings after one to three changes: a value replaced, left out, or put in
    once more."""
    out = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(out))
        if not places:
            return rng.choice(VALUES)
        inside, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, list):
            inside.insert(key, copy.deepcopy(inside[key]))
        elif kind == 2:
            inside[key] = copy.deepcopy(rng.choice(places)[0])
        else:
            inside[key] = copy.deepcopy(rng.choice(VALUES))
    return out


def broken_json(content: Any, rng: random.Random) -> bytes:
    """JSON with broken values, or sometimes broken itself."""
    if rng.random() < 0.2:
        return broken_bytes(json.dumps(content).encode(), rng)
    return json.dumps(broken_values(content, rng)).encode()


def survive(attempt: Attempt, folder: Path, share: float = 1.0) -> float:
    """Make `share` of COUNT attempts in a process of their own; each gets its own random numbers
    and an empty folder. Returns the share of them that ended in an error of ours, of one line.
    Fails, with the attempt's number, where one ends in another error, takes too much time or
    memory, or the process with it."""
    count = round(COUNT * share)
    folder.mkdir(exist_ok=True)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        status = 1
        try:
            with os.fdopen(writing, 'w', buffering=1) as report:
                _attempts(attempt, folder, count, report)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as report:
        lines = report.read().splitlines()
    status = os.waitpid(child, 0)[1]
    number = sum(line in ('fine', 'error') for line in lines)
    told = '\n'.join(line for line in lines if line not in ('fine', 'error'))
    assert os.WIFEXITED(status), f'attempt {number} ended the process, signal {status & 127}'
    assert not told and status == 0, f'attempt {number}:\n{told}'
    assert number == count
    return lines.count('error') / count


def _attempts(attempt: Attempt, folder: Path, count: int, report: TextIO) -> None:
    """What the process does: a line for each attempt, or a traceback and the end."""
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
    signal.signal(signal.SIGPROF, _too_long)
    warnings.simplefilter('ignore')
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    for number in range(count):
        place = folder / f'{number}'
        place.mkdir()
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        try:
            attempt(random.Random(number), place)
            report.write('fine\n')
        except InseganError as error:
            if '\n' in str(error):
                report.write(f'an error of several lines: {error}\n')
                return
            report.write('error\n')
        except BaseException:
            report.write(traceback.format_exc())
            return
        signal.setitimer(signal.ITIMER_PROF, 0)
        _clear(place)


def _too_long(*_: object) -> None:
    raise TimeoutError(f'more than {CPU_S} s of processor')


def _clear(folder: Path) -> None:
    """Remove a folder; where an attempt failed it stays to be looked at."""
    for path in sorted(folder.rglob('*'), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def _places(content: Any) -> Any:
    """Every list or mapping in a tree with each of its indices or keys."""
    if isinstance(content, (dict, list)):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])
