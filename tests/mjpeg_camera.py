"""An HTTP camera on loopback that shows pictures again and again."""

import itertools
import threading

from drivers.camera.mjpeg_server import MjpegServer

HERE = ("127.0.0.1", 0)


class Showing:
    def __init__(self, jpegs, address=HERE, period_s=0.02):
        self.server, self._stopped = MjpegServer(address, "/cam"), threading.Event()
        self._thread = threading.Thread(target=self._show, args=(jpegs, period_s))
        self._thread.start()

    def _show(self, jpegs, period_s):
        for jpeg in itertools.cycle(jpegs):
            if self._stopped.wait(period_s):
                return
            self.server.show(jpeg)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()
        self.server.close()
