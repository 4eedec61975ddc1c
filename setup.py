import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

package = 'insegan_ros'
# Read as text: where a package is built it cannot always be imported. Not by `attr:` in setup.cfg:
# that makes setuptools print a line which colcon cannot read.
version = re.search(r"__version__ = '(.+)'", Path(package, '__init__.py').read_text())[1]

setup(
    name=package,
    version=version,
    description='Instance masks of equal parts in a bin, learnt without labels, on ROS 2',
    license='Apache-2.0',
    python_requires='>=3.11',
    # sim/ lies at the top of the repository and is imported as insegan_sim.
    packages=[*find_packages(include=[f'{package}*']), 'insegan_sim'],
    package_dir={'insegan_sim': 'sim'},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package}']),
        (f'share/{package}', ['package.xml']),
        (f'share/{package}/launch', glob('launch/*.py')),
        (f'share/{package}/config', glob('config/*.*')),
        (f'share/{package}/web', glob('web/*.*')),
        *(
            (f'share/{package}/config/{folder}', glob(f'config/{folder}/*.yaml'))
            for folder in ('benchmarks', 'sensors', 'simulate', 'train')
        ),
        *(
            (f'share/{package}/{folder}', glob(f'{folder}/*.*'))
            for folder in sorted(glob('checkpoints/*'))
        ),
    ],
    install_requires=[
        'coacd',
        'h5py',
        'joblib',
        'docstring_parser',
        'jsonargparse[signatures]',
        'lightning',
        'manifold3d',
        'matplotlib',
        'numpy',
        'open3d',
        'opencv-python',
        'pybullet',
        'pycocotools',
        'PyMaxflow',
        'pyrealsense2',
        'PyYAML',
        'roma',
        'rosbags',
        'safetensors',
        'scikit-image',
        'scikit-learn',
        'scipy',
        'tensorboard',
        'threadpoolctl',
        'torch',
        'torchvision',
        'tqdm',
        'trimesh',
        'pillow',
    ],
    extras_require={
        'test': [
            # From 9.2 on pytest-xdist 3.8 loses its groups, silently (pytest-xdist issue 1386).
            'pytest<9.2',
            'pytest-xdist',
            'hypothesis',
            'mypy',
            'onnx',
            'onnxruntime',
            'psutil',
            'ray',
            'ruff',
        ],
        # insegan export, and the node's networks on a CPU.
        'onnx': ['onnx', 'onnxruntime'],
        # Dense CRF in the training of irnet and ccgr; built from source, so it needs a C++
        # compiler.
        'crf': ['pydensecrf2'],
        # Simulation on a cluster.
        'ray': ['ray'],
        # The real rclpy with Fast DDS from PyPI, for machines without a ROS 2 installation.
        'ros': [
            'ros-rclpy[fastrtps]',
            'ros-builtin-interfaces',
            'ros-diagnostic-msgs',
            'ros-geometry-msgs',
            'ros-lifecycle-msgs',
            'ros-rcl-interfaces',
            'ros-rosgraph-msgs',
            'ros-sensor-msgs',
            'ros-std-msgs',
            'ros-std-srvs',
            'ros-visualization-msgs',
        ],
    },
    entry_points={
        'console_scripts': [
            'insegan = insegan_ros.cli.start:command',
            'segmenter = insegan_ros.cli.start:segmenter',
            'sim_camera = insegan_ros.cli.start:sim_camera',
            'page = insegan_ros.cli.start:page',
            'empty_bin = insegan_ros.cli.start:empty_bin',
            'recording_player = insegan_ros.cli.start:recording_player',
            'realsense_camera = insegan_ros.cli.start:realsense_camera',
        ]
    },
)
