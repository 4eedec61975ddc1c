"""Fast DDS settings that let large images through: the default shared-memory segment is smaller
than one depth image."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from insegan_ros.errors import ConfigError
from insegan_ros.files import shipped_file

PROFILE = 'fastdds.xml'


def profile_path() -> Path | None:
    """The shipped profile."""
    return shipped_file('config', PROFILE)


def dds_environment() -> dict[str, str]:
    """Environment variables that point Fast DDS to the profile, unless the user has chosen one."""
    path = profile_path()
    names = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
    if path is None or any(name in os.environ for name in names):
        return {}
    # Humble and Jazzy read the second name, later ones warn of it.
    return dict.fromkeys(names if _is_old() else names[:1], str(path))


def check_domain() -> None:
    """Raise ConfigError where ROS_DOMAIN_ID is none: DDS would die of it later, in words of its
    own."""
    domain = os.environ.get('ROS_DOMAIN_ID', '') or '0'
    if not domain.isdigit() or int(domain) > 232:
        raise ConfigError(f'ROS_DOMAIN_ID is "{domain}": expected ROS_DOMAIN_ID between 0 and 232')


def _is_old() -> bool:
    if 'ROS_DISTRO' in os.environ:
        return os.environ['ROS_DISTRO'] in ('humble', 'iron', 'jazzy')
    try:
        return int(metadata.version('ros-rclpy').split('.')[0]) < 8
    except (metadata.PackageNotFoundError, ValueError):
        return False
