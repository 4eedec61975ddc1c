"""One version everywhere: the package, what colcon reads, what is cited, the newest release."""

import re
from pathlib import Path
from xml.etree import ElementTree

import yaml

import insegan_ros


def test_every_file_that_names_the_version_names_the_same(root: Path):
    citation = yaml.safe_load((root / 'CITATION.cff').read_text())
    released = re.findall(
        r'^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$',
        (root / 'CHANGELOG.md').read_text(),
        re.MULTILINE,
    )
    assert {
        'package.xml': ElementTree.parse(root / 'package.xml').findtext('version'),
        'interfaces/package.xml': ElementTree.parse(root / 'interfaces/package.xml').findtext(
            'version'
        ),
        'CITATION.cff': citation['version'],
        'CHANGELOG.md': released[0][0],
    } == dict.fromkeys(
        ('package.xml', 'interfaces/package.xml', 'CITATION.cff', 'CHANGELOG.md'),
        insegan_ros.__version__,
    )
    assert str(citation['date-released']) == released[0][1]


def test_the_changelog_begins_with_what_is_not_released_yet(root: Path):
    headings = re.findall(r'^## .*', (root / 'CHANGELOG.md').read_text(), re.MULTILINE)
    assert headings[0] == '## [Unreleased]'
    assert all(re.fullmatch(r'## \[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}', h) for h in headings[1:])
