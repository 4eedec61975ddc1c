"""The Fast DDS profile and the domain."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from insegan_ros.errors import ConfigError
from insegan_ros.nodes.dds import check_domain, dds_environment, profile_path


def test_the_profile_holds_several_large_images_and_keeps_udp():
    names = {'d': 'http://www.eprosima.com'}
    tree = ElementTree.parse(profile_path())
    transports = {
        t.find('d:type', names).text: t for t in tree.iterfind('.//d:transport_descriptor', names)
    }
    assert set(transports) == {'SHM', 'UDPv4'}
    assert int(transports['SHM'].find('d:segment_size', names).text) == 16 * 2**20
    assert tree.find('.//d:useBuiltinTransports', names).text == 'false'


def test_a_profile_that_the_user_has_chosen_stays(monkeypatch):
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert set(dds_environment()) == {
        'FASTDDS_DEFAULT_PROFILES_FILE',
        'FASTRTPS_DEFAULT_PROFILES_FILE',
    }
    monkeypatch.setenv('ROS_DISTRO', 'kilted')
    assert set(dds_environment()) == {'FASTDDS_DEFAULT_PROFILES_FILE'}
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    assert dds_environment() == {}


@pytest.mark.parametrize('domain', ['4000', '-1', 'home'])
def test_a_domain_that_cannot_be_is_refused(monkeypatch, domain):
    monkeypatch.setenv('ROS_DOMAIN_ID', domain)
    with pytest.raises(ConfigError, match='expected ROS_DOMAIN_ID between 0 and 232'):
        check_domain()
