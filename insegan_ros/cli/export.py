"""`insegan export`: the dense network for runtimes without PyTorch."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan export`."""
    parser.add_argument(
        '--model', type=str, required=True, help='checkpoint folder or shipped name (cutpaste-nut)'
    )
    parser.add_argument('--format', choices=['onnx'], default='onnx', help='what to write')
    parser.add_argument('--out', type=str, required=True, help='new file, such as nut.onnx')


def run(arguments: Namespace) -> None:
    """Run `insegan export` with the options that were given."""
    from insegan_ros.engine.checkpoint import Checkpoint
    from insegan_ros.methods.registry import find_checkpoint
    from insegan_ros.offsets.export import export_onnx

    difference = export_onnx(Checkpoint.load(find_checkpoint(arguments.model)), Path(arguments.out))
    print(f'{arguments.out}: onnxruntime agrees with PyTorch to {difference:.1g}')
