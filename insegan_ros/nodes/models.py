"""The models of a node: the one that runs, those that are kept ready, and one that is loaded beside
them while frames go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from insegan_ros.errors import InseganError
from insegan_ros.methods.registry import find_checkpoint, ready
from insegan_ros.segmenters.base import Segmenter

# A model that is being loaded cannot be interrupted: so long is waited for it when the node stops.
ENDS_WITHIN_S = 10.0


def load_error(error: Exception) -> str:
    """Why a model could not be loaded, in a line."""
    if isinstance(error, InseganError):
        return str(error)
    return f'the model could not be made ready: {type(error).__name__}: {error}'


class Models:
    """Holds one model that runs, and switches it between two frames.

    load: makes a model ready, by its name. switched: is told which one runs now; by then it may be
    cleared again. failed: is told why a model could not be loaded; the one before runs on. Both are
    called in the thread that loads, or in that of the caller of `switch`.

    A frame that is being worked on is finished by the model that it was begun with: whoever works
    on it asks for `running` once.
    """

    def __init__(
        self,
        load: Callable[[str], Segmenter],
        switched: Callable[[str, Segmenter], None],
        failed: Callable[[str], None],
    ) -> None:
        self.load, self.switched, self.failed = load, switched, failed
        self.name, self.loading = '', ''
        self.running: Segmenter | None = None
        self._ready: dict[str, Segmenter] = {}
        # Guards what is above against a thread that has loaded a model that nobody waits for now.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy = False

    def begin(self, name: str, others: Iterable[str] = ()) -> None:
        """Load a model, and others that it may be switched to at once. Raises what `load` does."""
        kept = {other: self.load(other) for other in dict.fromkeys(others)}
        running = kept[name] if name in kept else self.load(name)
        with self._lock:
            self._ready, self.running, self.name = kept, running, name

    @property
    def needs_colour(self) -> bool:
        """Whether the one that runs, or one that it may be switched to at once, looks at colour."""
        running = [] if self.running is None else [self.running]
        return any(one.needs_colour for one in (*running, *self._ready.values()))

    def clear(self) -> None:
        """Nothing runs any more, and all models are free; what is being loaded is dropped."""
        with self._lock:
            self._ready, self.running, self.name, self.loading = {}, None, '', ''
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=ENDS_WITHIN_S)

    def check(self, name: str) -> None:
        """Raise CheckpointError for a name that is none."""
        if name not in self._ready and name != self.name and name not in ready():
            find_checkpoint(name)

    def switch(self, name: str) -> None:
        """Run another model: at once where it is ready, otherwise when it has been loaded. The last
        one that was asked for counts."""
        with self._lock:
            kept = self._ready.get(name)
            self.loading = '' if kept is not None or name == self.name else name
            start = bool(self.loading) and not self._busy
            self._busy |= start
        if kept is not None and name != self.name:
            self._take(name, kept)
        elif start:
            self._thread = threading.Thread(
                target=self._load_beside, name='model-loader', daemon=True
            )
            self._thread.start()

    def _load_beside(self) -> None:
        """Load what is wanted, one after another, so that memory holds one more at most."""
        while name := self._next():
            try:
                loaded, reason = self.load(name), ''
            except Exception as error:  # whatever it is, the model that runs goes on
                loaded, reason = None, load_error(error)
            with self._lock:
                wanted = self.loading == name
                self.loading = '' if wanted else self.loading
            if wanted and loaded is not None:
                self._take(name, loaded)
            elif wanted:
                self.failed(reason)

    def _next(self) -> str:
        with self._lock:
            self._busy = bool(self.loading)
            return self.loading

    def _take(self, name: str, segmenter: Segmenter) -> None:
        with self._lock:
            if self.running is None:  # cleared meanwhile
                return
            self.running, self.name = segmenter, name
        self.switched(name, segmenter)
