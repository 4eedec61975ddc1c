"""What a step frees stays with the process of a training."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Blocks of 34 MB: glibc gives those above 32 MB back at once.
USED_AGAIN = """
import resource
import sys
import torch
from insegan_ros.engine.loop import LoopConfig, make_fabric

if sys.argv[1:]:
    make_fabric(LoopConfig(device='cpu'))
network, pictures = torch.nn.Conv2d(1, 16, 3, padding=1), torch.randn(8, 1, 256, 256)
for step in range(12):
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network(pictures).relu().mean().backward()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc alone can be told')
def test_memory_that_was_freed_is_not_asked_for_again():
    usual, training = (
        [
            int(line)
            for line in subprocess.run(
                [sys.executable, '-c', USED_AGAIN, *arguments],
                capture_output=True,
                check=True,
                text=True,
            ).stdout.split()
        ]
        for arguments in ([], ['training'])
    )
    assert sum(training[-4:]) < sum(usual[-4:]) / 10, 'pages that the system had to clear'
